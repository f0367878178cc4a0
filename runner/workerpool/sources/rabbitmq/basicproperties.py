"""Properties of a message off the wire, without those that nobody asks for. Pure.

Tables of short texts and whole numbers, which is what this project writes, are read here; others by pamqp.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pamqp import decode

from workerpool.sources.rabbitmq.envelope import NO_HEADERS, Properties

CONTENT_TYPE: Final = 1 << 15
CONTENT_ENCODING: Final = 1 << 14
HEADERS: Final = 1 << 13
DELIVERY_MODE: Final = 1 << 12
PRIORITY: Final = 1 << 11
CORRELATION_ID: Final = 1 << 10
REPLY_TO: Final = 1 << 9
EXPIRATION: Final = 1 << 8
MESSAGE_ID: Final = 1 << 7
TIMESTAMP: Final = 1 << 6

_SIZE = struct.Struct(">I")
_TIME = struct.Struct(">Q")
_NUMBERS: Final[Mapping[int, tuple[int, Callable[[bytes, int], tuple[int]]]]] = {
    ord(letter): (packed.size, packed.unpack_from)
    for letter, packed in (("l", struct.Struct(">q")), ("I", struct.Struct(">i")), ("s", struct.Struct(">h")))
}
_TEXT: Final = ord("S")


def read_properties(flags: int, data: bytes, at: int) -> Properties:
    """The properties whose ``flags`` precede ``data[at:]``. Raises UnicodeDecodeError, ValueError for nonsense."""
    content_type = encoding = message_id = timestamp = None
    headers: Mapping[str, Any] = NO_HEADERS
    if flags & CONTENT_TYPE:
        content_type, at = _short(data, at)
    if flags & CONTENT_ENCODING:
        encoding, at = _short(data, at)
    if flags & HEADERS:
        headers, at = read_table(data, at)
    if flags & DELIVERY_MODE:
        at += 1
    if flags & PRIORITY:
        at += 1
    for skipped in (CORRELATION_ID, REPLY_TO, EXPIRATION):
        if flags & skipped:
            at += 1 + data[at]
    if flags & MESSAGE_ID:
        message_id, at = _short(data, at)
    if flags & TIMESTAMP:
        timestamp = _moment(_TIME.unpack_from(data, at)[0])
    return Properties(headers, content_type, encoding, message_id, timestamp)


def read_table(data: bytes, at: int) -> tuple[Mapping[str, Any], int]:
    """A field table, and where it ends."""
    start = at + 4
    end = start + _SIZE.unpack_from(data, at)[0]
    table: dict[str, Any] = {}
    place = start
    while place < end:
        size = data[place]
        name = data[place + 1 : place + 1 + size]
        place += 1 + size
        kind = data[place]
        place += 1
        if kind == _TEXT:
            size = _SIZE.unpack_from(data, place)[0]
            table[name.decode()] = data[place + 4 : place + 4 + size].decode(errors="surrogateescape")
            place += 4 + size
        elif kind in _NUMBERS:
            size, unpack = _NUMBERS[kind]
            table[name.decode()] = unpack(data, place)[0]
            place += size
        else:
            return decode.field_table(data[at:end])[1], end
    return table, end


def _short(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="replace"), end


def _moment(seconds: int) -> datetime | None:
    """A foreign publisher's time, unless it is beyond what a date can say (some send milliseconds)."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
