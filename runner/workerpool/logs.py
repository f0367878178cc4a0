"""Structured logs on the standard library: a line per record, as text or JSON, with secrets masked.

A record carries ``timestamp``, ``level``, ``target`` (the logger's name), ``message``, then context fields: those of
the process (pool, boot), those bound around the work at hand (`bound`: worker, queue, job_id, attempt, step) and the
record's own ``extra``. An exception is one ``error`` field; its traceback is added only where DEBUG is on. Nothing
here is on the path of a successful job: at INFO a runner logs what changes (start, drain, retry, dead letter), not
what works.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, Literal, TextIO

from workerpool.errors import ConfigError
from workerpool.redaction import redact

LogFormat = Literal["text", "json"]

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_OWN_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
FIELDS: ContextVar[Mapping[str, object]] = ContextVar("workerpool_log_context", default={})  # noqa: B039 - never mutated
"""What `bound` adds to. A slot of the runner sets it once, to fields that follow the job it runs: nothing per job."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How to log; ``level`` in any case. ``file``: a copy on disk, rotated at ``max_bytes``, ``backups`` kept."""

    format: LogFormat = "text"
    level: str = "INFO"
    file: Path | None = None
    max_bytes: int = 10_000_000
    backups: int = 3
    fields: Mapping[str, object] = field(default_factory=dict)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Adds ``fields`` to every record logged inside, in this task or thread only."""
    token = FIELDS.set({**FIELDS.get(), **fields})
    try:
        yield
    finally:
        FIELDS.reset(token)


def fields_of(record: logging.LogRecord, process_fields: Mapping[str, object]) -> dict[str, object]:
    """The context of ``record``: process first, then bound, then the record's ``extra``; values as they are."""
    extra = {key: value for key, value in vars(record).items() if key not in _OWN_ATTRIBUTES}
    return {**process_fields, **FIELDS.get(), **extra}


def timestamp(seconds: float) -> str:
    """``seconds`` since the epoch as ``2024-01-31T23:00:00.000Z``."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


class _Formatter(logging.Formatter):
    """What both formats share: masked message, masked fields, the exception as one line."""

    def __init__(self, process_fields: Mapping[str, object]) -> None:
        super().__init__()
        self._process_fields = process_fields

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields = fields_of(record, self._process_fields)
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = f"{type(error).__name__}: {error}"
            if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
                fields["stack"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return {key: _masked(key, value) for key, value in fields.items() if value is not None}

    @staticmethod
    def _message(record: logging.LogRecord) -> str:
        return redact(record.getMessage())


class JsonFormatter(_Formatter):
    """One JSON object per line: timestamp, level, target, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline; a value that is not JSON is written as text."""
        head = {
            "timestamp": timestamp(record.created),
            "level": record.levelname,
            "target": record.name,
            "message": self._message(record),
        }
        return json.dumps(head | self._fields(record) | head, default=str, ensure_ascii=False)


class TextFormatter(_Formatter):
    """``2024-01-31T23:00:00.000Z INFO    workerpool.runner: message key=value``; a traceback follows below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a line break inside the message is escaped, so that one record can't pose as two."""
        fields = self._fields(record)
        stack = fields.pop("stack", None)
        message = self._message(record).replace("\r", "\\r").replace("\n", "\\n")
        tail = "".join(f" {key}={_word(value)}" for key, value in fields.items())
        line = f"{timestamp(record.created)} {record.levelname:<7} {record.name}: {message}{tail}"
        return line if stack is None else f"{line}\n{stack}"


def configure(settings: LogSettings, stream: TextIO | None = None) -> Callable[[], None]:
    """Sends the records of every logger of this process to ``stream`` (stderr by default) and to the file, if any.

    Returns a function that puts logging back as it was. Raises ConfigError for an unknown level or format, or a file
    that can't be written.
    """
    check(settings)
    formatter = (JsonFormatter if settings.format == "json" else TextFormatter)(settings.fields)
    handlers: list[logging.Handler] = [logging.StreamHandler(stream if stream is not None else sys.stderr)]
    if settings.file is not None:
        handlers.append(_file_handler(settings, settings.file))
    for handler in handlers:
        handler.setFormatter(formatter)
    return _install(handlers, settings.level.upper())


def check(settings: LogSettings) -> None:
    """Raises ConfigError that names the variable, the value and what is accepted."""
    if settings.format not in ("text", "json"):
        raise ConfigError(f"WORKERPOOL_LOG_FORMAT: {settings.format!r} is not a log format; use text or json")
    if settings.level.upper() not in LEVELS:
        raise ConfigError(f"WORKERPOOL_LOG_LEVEL: {settings.level!r} is not a level; use one of {', '.join(LEVELS)}")


def _install(handlers: list[logging.Handler], level: str) -> Callable[[], None]:
    root = logging.getLogger()
    before, before_level = root.handlers[:], root.level
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=True)

    def restore() -> None:
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(before_level)
        for handler in handlers:
            handler.close()

    return restore


def _file_handler(settings: LogSettings, path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(path, maxBytes=settings.max_bytes, backupCount=settings.backups, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--log-file (WORKERPOOL_LOG_FILE): cannot write {path}: {error.strerror}; name a writable file"
        ) from error


def _masked(key: str, value: object) -> object:
    """``value`` without secrets: a key that names one (``password``) hides its whole value."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(inner): _masked(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, item) for item in value]
    text = str(value)
    head = f"{key}="
    masked = redact(f"{head}{text}")
    return masked.removeprefix(head) if masked.startswith(head) else redact(text)


def _word(value: object) -> str:
    """``value`` for a text line: quoted when it holds a space, a quote, an equals sign or a line break."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=\n\r\t') else text
