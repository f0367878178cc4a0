"""Properties of a message off the wire, without those that nobody asks for. Pure.

Any program may have published the message: whatever is in them is read without an error. Values are those that pamqp
would give; where it would give up (names that are not UTF-8, times beyond the calendar), something near is given.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pamqp import decode

from workerpool.sources.rabbitmq.envelope import NO_HEADERS, UNREADABLE, Properties

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
MORE_FLAGS: Final = 1
DEEPEST: Final = 32
"""Tables and lists within each other that are read; JSON readers and Python's own stack end somewhere beyond."""
LATEST_SECONDS: Final = 0xFFFFFFFF
"""A time beyond this one (the year 2106) was meant in milliseconds."""

_OCTETS: Final = {0: 0, DELIVERY_MODE: 1, PRIORITY: 1, DELIVERY_MODE | PRIORITY: 2}
_SIZE: Final = struct.Struct(">I")
_TIME: Final = struct.Struct(">Q")
_FLAGS: Final = struct.Struct(">H")
_NUMBERS: Final[Mapping[int, tuple[int, Callable[[bytes, int], tuple[int]]]]] = {
    ord(letter): (packed.size, packed.unpack_from)
    for letter, packed in (("l", struct.Struct(">q")), ("I", struct.Struct(">i")), ("s", struct.Struct(">h")))
}
_OTHERS: Final[Mapping[int, tuple[int, Callable[[bytes], tuple[int, Any]]]]] = {
    ord("t"): (1, decode.boolean),
    ord("b"): (1, decode.short_short_int),
    ord("B"): (1, decode.short_short_uint),
    ord("u"): (2, decode.short_uint),
    ord("i"): (4, decode.long_uint),
    ord("L"): (8, decode.long_long_int),
    ord("f"): (4, decode.floating_point),
    ord("d"): (8, decode.double),
    ord("D"): (5, decode.decimal),
    ord("V"): (0, decode.void),
    0: (0, decode.void),
}
_TEXT: Final = ord("S")
_BYTES: Final = ord("x")
_MOMENT: Final = ord("T")
_TABLE: Final = ord("F")
_LIST: Final = ord("A")


def read_properties(flags: int, data: bytes, at: int, end: int) -> Properties:
    """The properties whose ``flags`` precede ``data[at:end]``; of nonsense ``UNREADABLE``. Raises nothing."""
    try:
        return _properties(flags, data, at, end)
    except (ValueError, IndexError, ArithmeticError, struct.error):
        return UNREADABLE


def _properties(flags: int, data: bytes, at: int, end: int) -> Properties:
    content_type = encoding = message_id = timestamp = None
    headers: Mapping[str, Any] = NO_HEADERS
    if flags & MORE_FLAGS:
        at = _behind_flags(data, at)
    if flags & CONTENT_TYPE:
        content_type, at = _short(data, at)
    if flags & CONTENT_ENCODING:
        encoding, at = _short(data, at)
    if flags & HEADERS:
        headers, at = _table(data, at, end, 0)
    at += _OCTETS[flags & (DELIVERY_MODE | PRIORITY)]
    for skipped in (CORRELATION_ID, REPLY_TO, EXPIRATION):
        if flags & skipped:
            at += 1 + data[at]
    if flags & MESSAGE_ID:
        message_id, at = _short(data, at)
    if flags & TIMESTAMP:
        timestamp = _moment(_TIME.unpack_from(data, at)[0])
        at += 8
    if at > end:
        raise ValueError
    return Properties(headers, content_type, encoding, message_id, timestamp)


def _table(data: bytes, at: int, limit: int, depth: int) -> tuple[Mapping[str, Any], int]:
    """A field table that must end at ``limit`` at the latest, and where it ends. Raises for nonsense."""
    place = at + 4
    end = place + _SIZE.unpack_from(data, at)[0]
    if end > limit:
        raise ValueError
    table: dict[str, Any] = {}
    while place < end:
        start = place + 1
        place = start + data[place]
        name = data[start:place].decode(errors="replace")
        kind = data[place]
        place += 1
        if kind == _TEXT:
            start = place + 4
            place = start + _SIZE.unpack_from(data, place)[0]
            table[name] = _text(data[start:place])
        elif kind in _NUMBERS:
            size, unpack = _NUMBERS[kind]
            table[name] = unpack(data, place)[0]
            place += size
        else:
            table[name], place = _value(kind, data, place, end, depth)
    if place > end:
        raise ValueError
    return table, end


def _value(kind: int, data: bytes, at: int, limit: int, depth: int) -> tuple[Any, int]:
    """A value of a type that this project doesn't write itself, and where it ends."""
    if kind in _OTHERS:
        size, read = _OTHERS[kind]
        return read(data[at : at + size])[1], at + size
    if kind in _NUMBERS:
        size, unpack = _NUMBERS[kind]
        return unpack(data, at)[0], at + size
    if kind == _MOMENT:
        number = _TIME.unpack_from(data, at)[0]
        return _moment(number) or number, at + 8
    if kind == _TABLE and depth < DEEPEST:
        return _table(data, at, limit, depth + 1)
    start = at + 4
    end = start + _SIZE.unpack_from(data, at)[0]
    if end > limit:
        raise ValueError
    return _sized(kind, data, start, end, depth), end


def _sized(kind: int, data: bytes, start: int, end: int, depth: int) -> str | bytes | bytearray | list[Any]:
    if kind == _TEXT:
        return _text(data[start:end])
    if kind == _BYTES:
        return bytearray(data[start:end])
    if kind == _LIST and depth < DEEPEST:
        return _list(data, start, end, depth + 1)
    raise ValueError


def _list(data: bytes, place: int, end: int, depth: int) -> list[Any]:
    values: list[Any] = []
    while place < end:
        value, place = _value(data[place], data, place + 1, end, depth)
        values.append(value)
    if place > end:
        raise ValueError
    return values


def _text(raw: bytes) -> str | bytes:
    """A long string: AMQP says nothing of its encoding."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _behind_flags(data: bytes, at: int) -> int:
    """Where the properties begin when further flags, of which nobody knows the meaning, come first."""
    more = MORE_FLAGS
    while more & MORE_FLAGS:
        more = _FLAGS.unpack_from(data, at)[0]
        at += 2
    return at


def _short(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="replace"), end


def _moment(number: int) -> datetime | None:
    """A publisher's time, in seconds or milliseconds, unless it is beyond what a date can say."""
    try:
        return datetime.fromtimestamp(number / 1000 if number > LATEST_SECONDS else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None
