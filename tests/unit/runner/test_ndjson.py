"""Reading newline-delimited JSON."""

import io
import json
from typing import IO

from hypothesis import given
from hypothesis import strategies as st

from workerpool.cli.ndjson import inspect, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=5,
)
BIG = 1_000_000


class Watched(io.BytesIO):
    """Remembers the largest piece that was asked for."""

    largest = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        piece = super().readline(-1 if size is None else size)
        self.largest = max(self.largest, len(piece))
        return piece


def test_a_line_over_the_limit_is_never_held_as_a_whole() -> None:
    file = Watched(b"1\n" + b'"' + b"x" * BIG + b'"\r\n2\n')
    lines = list(read(file, 100))
    assert [(line.number, line.text) for line in lines] == [(1, "1"), (2, None), (3, "2")]
    assert f"{BIG + 4} bytes are over the limit of 100" in str(lines[1].fault)
    assert file.largest <= 102


@given(st.lists(VALUES), st.sampled_from(["\n", "\r\n", " \n\n"]), st.booleans())
def test_every_value_comes_back_with_its_line(values: list[object], end: str, ascii_only: bool) -> None:
    text = "".join(json.dumps(value, ensure_ascii=ascii_only) + end for value in values)
    lines = list(read(io.BytesIO(text.encode()), BIG))
    assert [json.loads(line.text or "") for line in lines] == values
    step = end.count("\n")
    assert [line.number for line in lines] == [1 + step * n for n in range(len(values))]


@given(st.binary(), st.integers(1, 20))
def test_anything_may_be_in_a_file(data: bytes, limit: int) -> None:
    file: IO[bytes] = io.BytesIO(data)
    lines = list(read(file, limit))
    assert sum(line.size for line in lines) <= len(data)
    assert all((line.text is None) != (line.fault is None) for line in lines)
    assert all(len((line.text or "").encode()) <= limit for line in lines)


def test_faults_are_counted_and_the_first_are_named() -> None:
    faults = inspect(read(io.BytesIO(b"{\n" * 30 + b"1\n"), 100), "jobs.ndjson")
    assert (faults.lines, faults.bad, len(faults.messages)) == (31, 30, 20)
    assert faults.messages[0].startswith("jobs.ndjson:1: not JSON (")
