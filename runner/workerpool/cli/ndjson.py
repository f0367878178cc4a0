"""Reading newline-delimited JSON: one job per line, every fault told with file and line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pydantic_core import from_json

from workerpool.errors import PayloadError

SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank: its number from 1, its text as JSON, or what is wrong with it. ``size``: bytes."""

    number: int
    size: int
    text: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a file: the first messages, each as ``file:line: …``, and how many lines there are in all."""

    messages: tuple[str, ...]
    lines: int
    bad: int


def checked(data: bytes, limit: int) -> str:
    """JSON text as it will be sent. Raises PayloadError: not JSON, or more than ``limit`` bytes."""
    if len(data) > limit:
        raise PayloadError(_too_large(len(data), limit))
    try:
        from_json(data, allow_inf_nan=False)
        return data.decode()
    except ValueError as error:
        raise PayloadError(f"not JSON ({error})") from None


def read(file: IO[bytes], limit: int) -> Iterator[Line]:
    """The lines of ``file``; one that is far too long is never held in memory as a whole."""
    number = 0
    while raw := file.readline(limit + 2):
        number += 1
        size, ended = len(raw), raw.endswith(b"\n")
        while not ended and (rest := file.readline(limit + 2)):
            size, ended = size + len(rest), rest.endswith(b"\n")
        body = raw.strip()
        if not body:
            continue
        yield _line(number, size, body, limit)


def _line(number: int, size: int, body: bytes, limit: int) -> Line:
    if size > limit + 2:
        return Line(number, size, fault=_too_large(size, limit))
    try:
        return Line(number, size, text=checked(body, limit))
    except PayloadError as error:
        return Line(number, size, fault=str(error))


def _too_large(size: int, limit: int) -> str:
    return (
        f"{size} bytes are over the limit of {limit}; store the data elsewhere and send a reference, "
        "or raise --max-payload"
    )


def inspect(lines: Iterator[Line], name: str) -> Faults:
    """Reads all lines and collects what is wrong."""
    messages: list[str] = []
    total = bad = 0
    for line in lines:
        total += 1
        if line.fault is not None:
            bad += 1
            if len(messages) < SHOWN_FAULTS:
                messages.append(f"{name}:{line.number}: {line.fault}")
    return Faults(tuple(messages), total, bad)
