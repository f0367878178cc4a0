"""Records as bodies of messages of a stream, none of them larger than a broker takes. Pure."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

JsonRecord = dict[str, Any]

MESSAGE_BYTES: Final = 524_288
"""Records are put together up to this; RabbitMQ 4 closes the channel of who sends more than 16 MiB at once."""
TEXT_BYTES: Final = 524_288
"""What a job or its code said is kept up to this size, as JSON."""
RECORD_BYTES: Final = 8_388_608
"""Larger records lose the job's payload and headers too: it went through the broker, but not written as a text."""

BRACKETS: Final = 2

JSON_TEXTS: Final = ("result", "data")
"""Fields of records that hold JSON text."""
TEXTS: Final = ("error", *JSON_TEXTS)
JOB_FIELDS: Final = ("payload", "headers")


def bodies(records: Iterable[JsonRecord], most: int | None = None) -> Iterator[bytes]:
    """The records in order, as few messages as may be; what is too large for any is cut.

    ``most``: bytes that the broker takes in one message, None when that isn't known.
    """
    room = RECORD_BYTES if most is None else most - BRACKETS
    together: list[bytes] = []
    size = 0
    for record in records:
        written = _written(record, room)
        if together and size + len(written) > min(MESSAGE_BYTES, room):
            yield _joined(together)
            together, size = [], 0
        together.append(written)
        size += len(written) + 1
    if together:
        yield _joined(together)


def records_of(body: bytes) -> list[JsonRecord]:
    """The records of one message; what somebody else wrote into the stream is passed over."""
    try:
        value = json.loads(body)
    except ValueError:
        return []
    return [record for record in value if isinstance(record, dict)] if isinstance(value, list) else []


def _joined(written: list[bytes]) -> bytes:
    return b"[" + b",".join(written) + b"]"


def _written(record: JsonRecord, room: int) -> bytes:
    text = min(TEXT_BYTES, room // (1 + len(TEXTS)))
    written = _json(record)
    if len(written) <= text:
        return written
    written = _json({name: _cut(name, value, text) for name, value in record.items()})
    if len(written) <= min(RECORD_BYTES, room):
        return written
    return _json({name: _cut(name, value, text) for name, value in record.items() if name not in JOB_FIELDS})


def _cut(name: str, value: object, most: int) -> object:
    if name not in TEXTS or not isinstance(value, str) or (size := len(_json(value))) <= most:
        return value
    note = f"{size} bytes, too large for the history"
    return json.dumps(note) if name in JSON_TEXTS else note


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
