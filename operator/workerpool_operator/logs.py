"""Logs of the operator: a line per record, as text or JSON, with the passwords of URLs masked."""

import json
import logging
import sys
import time
import traceback
from typing import Final, TextIO

from workerpool_contract.urls import without_passwords

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Kopf tells of every event that it passes on, aiohttp of every probe.
_TALKATIVE: Final = ("kopf", "aiohttp.access", "asyncio")
# Kopf's own loggers attach the object to a record; it may be large and says nothing that the message doesn't.
_LEFT_OUT: Final = frozenset({"k8s_ref", "settings", "k8s_skip"})


class JsonFormatter(logging.Formatter):
    """One JSON object per line: timestamp, level, target, message, then what the record carries besides."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return json.dumps(_document(record), default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; a line break inside is escaped, so that one record can't pose as two."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows below it."""
        document = _document(record)
        stack = document.pop("stack", None)
        head = [str(document.pop(name)) for name in ("timestamp", "level", "target", "message")]
        line = f"{head[0]} {head[1]:<7} {head[2]}: {head[3]}"
        line += "".join(f" {name}={value}" for name, value in document.items())
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        return line if stack is None else f"{line}\n{stack}"


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Sends the records of every logger to ``stream``, stderr by default. ``form``: text or json."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    if not root.isEnabledFor(logging.DEBUG):
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)


def _document(record: logging.LogRecord) -> dict[str, object]:
    document: dict[str, object] = {
        "timestamp": _timestamp(record.created),
        "level": record.levelname,
        "target": record.name,
        "message": without_passwords(record.getMessage()),
    }
    for name, value in vars(record).items():
        if name not in _STANDARD and name not in _LEFT_OUT:
            document[name] = value if isinstance(value, bool | int | float) else without_passwords(str(value))
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        document["error"] = without_passwords(f"{type(error).__name__}: {error}")
        if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            document["stack"] = without_passwords("".join(traceback.format_exception(error)).rstrip())
    return document


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
