"""Log lines: shape, context, masking, and no traceback unless asked for."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workerpool.errors import ConfigError
from workerpool.logs import LogSettings, bound, configure, timestamp

Lines = Callable[[], list[str]]


@pytest.fixture
def log_to() -> Iterator[Callable[..., Lines]]:
    """Configures logging into a buffer; gives a function that returns the lines so far."""
    undo: list[Callable[[], None]] = []

    def start(**settings: Any) -> Lines:
        stream = io.StringIO()
        undo.append(configure(LogSettings(**settings), stream))
        return lambda: stream.getvalue().splitlines()

    yield start
    for restore in reversed(undo):
        restore()


LOGGER = logging.getLogger("workerpool.test")


def fail_with(message: str) -> None:
    raise ValueError(message)


def test_json_lines_have_the_documented_fields_first_named_and_typed(log_to: Callable[..., Lines]) -> None:
    lines = log_to(format="json", fields={"pool": "certificates", "boot": "b-1"})
    with bound(worker="certify", queue="model-certification", job_id=17, attempt=2):
        LOGGER.info("retrying in %s s", 4, extra={"durationMs": 12.5})
    record = json.loads(lines()[0])
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "level": "INFO",
        "target": "workerpool.test",
        "message": "retrying in 4 s",
        "pool": "certificates",
        "boot": "b-1",
        "worker": "certify",
        "queue": "model-certification",
        "job_id": 17,
        "attempt": 2,
        "durationMs": 12.5,
    }


def test_a_text_line_reads_from_left_to_right(log_to: Callable[..., Lines]) -> None:
    lines = log_to()
    with bound(queue="a", note="two words"):
        LOGGER.warning("slow")
    when, rest = lines()[0].split(" ", 1)
    assert when.endswith("Z")
    assert rest == 'WARNING workerpool.test: slow queue=a note="two words"'


def test_context_ends_with_its_block(log_to: Callable[..., Lines]) -> None:
    lines = log_to()
    with bound(job_id=1):
        pass
    LOGGER.info("after")
    assert "job_id" not in lines()[0]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_no_secret_passes_by_any_road(log_to: Callable[..., Lines], form: str, level: str) -> None:
    lines = log_to(format=form, level=level)
    url = "postgresql://app:s3cr3t-word@db/queue"
    with bound(password="s3cr3t-word", nested={"api_key": "s3cr3t-word", "urls": [url]}):
        try:
            fail_with(f"cannot open {url}")
        except ValueError:
            LOGGER.exception("opening %s failed", url, extra={"token": "s3cr3t-word"})
    assert "***" in lines()[0]
    assert "s3cr3t-word" not in "\n".join(lines())


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_at_debug_only(log_to: Callable[..., Lines], form: str) -> None:
    shown = {}
    for level in ("INFO", "DEBUG"):
        lines = log_to(format=form, level=level)
        try:
            fail_with("no such column")
        except ValueError:
            LOGGER.exception("handler failed")
        shown[level] = "\n".join(lines())
    assert "ValueError: no such column" in shown["INFO"]
    assert "Traceback" not in shown["INFO"]
    assert "Traceback" in shown["DEBUG"]


def test_one_record_cannot_pose_as_two_lines(log_to: Callable[..., Lines]) -> None:
    lines = log_to()
    LOGGER.info("first\n2024-01-01T00:00:00.000Z INFO forged: second", extra={"note": "a\nb"})
    assert len(lines()) == 1


def test_context_cannot_overwrite_the_head_of_a_json_line(log_to: Callable[..., Lines]) -> None:
    lines = log_to(format="json")
    with bound(level="forged", target="forged"):
        LOGGER.info("x")
    assert json.loads(lines()[0])["level"] == "INFO"


def test_what_is_not_json_is_written_as_text(log_to: Callable[..., Lines]) -> None:
    lines = log_to(format="json")
    LOGGER.info("x", extra={"path": Path("/tmp/a"), "nothing": None})
    record = json.loads(lines()[0])
    assert record["path"] == "/tmp/a"
    assert "nothing" not in record


def test_the_file_copy_rotates(log_to: Callable[..., Lines], tmp_path: Path) -> None:
    path = tmp_path / "logs" / "runner.log"
    log_to(file=path, max_bytes=200, backups=1)
    for number in range(10):
        LOGGER.info("line %d of a file that is rotated", number)
    assert "line 9" in path.read_text()
    assert sorted(file.name for file in path.parent.iterdir()) == ["runner.log", "runner.log.1"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"format": "xml"}, ["WORKERPOOL_LOG_FORMAT", "'xml'", "json"]),
        ({"level": "LOUD"}, ["WORKERPOOL_LOG_LEVEL", "'LOUD'", "DEBUG"]),
        ({"file": Path("/dev/null/runner.log")}, ["WORKERPOOL_LOG_FILE", "/dev/null/runner.log"]),
    ],
)
def test_bad_settings_name_the_variable_the_value_and_the_cure(settings: Any, names: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(LogSettings(**settings), io.StringIO())
    assert all(name in str(caught.value) for name in names)


def test_levels_are_read_in_any_case(log_to: Callable[..., Lines]) -> None:
    lines = log_to(level="debug")
    LOGGER.debug("x")
    assert len(lines()) == 1


def test_configure_can_be_undone() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    configure(LogSettings(level="ERROR"), io.StringIO())()
    assert (root.handlers, root.level) == before


def test_timestamps_are_utc_with_milliseconds() -> None:
    assert timestamp(1706742000.0625) == "2024-01-31T23:00:00.062Z"
