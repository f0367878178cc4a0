"""Lines of the operator's log."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from workerpool_operator import logs


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Puts logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kopf", "aiohttp.access", "asyncio")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def written(form: str, level: str = "info", **extra: object) -> str:
    stream = io.StringIO()
    logs.configure(level, form, stream)
    error = ValueError("no way to postgresql://u:secret@db/x")
    logging.getLogger("workerpool_operator").error("Failed\nfor good", exc_info=error, extra=extra)
    return stream.getvalue()


def test_json_lines_carry_the_fields() -> None:
    document = json.loads(written("json", pool="shop/orders", tries=3))
    assert document["message"] == "Failed\nfor good"
    assert (document["level"], document["pool"], document["tries"]) == ("ERROR", "shop/orders", 3)
    assert document["error"] == "ValueError: no way to postgresql://u:***@db/x"
    assert "stack" not in document


def test_a_text_record_is_one_line() -> None:
    (line,) = written("text", pool="shop/orders").splitlines()
    assert "ERROR   workerpool_operator: Failed\\nfor good" in line
    assert "pool=shop/orders" in line


@pytest.mark.parametrize("form", ["json", "text"])
def test_passwords_are_masked_also_in_tracebacks(form: str) -> None:
    text = written(form, "debug", url="postgresql://u:secret@db/x")
    assert "stack" in text or "ValueError: no way" in text
    assert "secret" not in text
