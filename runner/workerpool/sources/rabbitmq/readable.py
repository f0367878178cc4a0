"""Frames that pamqp can read: aiormq ends the connection, and with it all jobs under way, at the first that it can't.

Foreign programs decide what is in a message's properties, headers and routing key, and nothing needs to be UTF-8.
"""

import struct
from typing import Any, Final

from pamqp import frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from workerpool.sources.rabbitmq.basicproperties import read_properties
from workerpool.sources.rabbitmq.envelope import UNREADABLE, Properties

GET_OK: Final = b"\x00\x3c\x00\x47"
"""Class and method of basic.get-ok."""
RETURN: Final = b"\x00\x3c\x00\x32"
DELIVER: Final = b"\x00\x3c\x00\x3c"

ASCII: Final = 0x80
"""The first byte that is none."""
_START: Final = 7
"""Bytes of a frame before its payload."""
_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQH")
_TAG: Final = 9
"""Bytes of a delivery tag and whether the message was delivered before."""


def readable_header(given: bytes) -> bytes:
    """A content header as it came or, when nobody else could read it, with what could be read of it."""
    _, _, size, flags = _CONTENT.unpack_from(given, _START)
    read = read_properties(flags, given, _START + _CONTENT.size, len(given) - 1)
    if read is not UNREADABLE and _is_readable(given):
        return given
    channel = _FRAME.unpack_from(given)[1]
    for properties in (read, UNREADABLE):
        made = _header(channel, size, properties)
        if made is not None and _is_readable(made):
            return made
    return given


def readable_method(given: bytes) -> bytes:
    """A method that announces a message, as it came or, when its names are not UTF-8, with ``?`` in their place."""
    if _is_readable(given):
        return given
    at = _START + 4
    if given.startswith(RETURN, _START):
        at += 2
        at += 1 + given[at]
    else:
        at += 1 + given[at] if given.startswith(DELIVER, _START) else 0
        at += _TAG
    made = bytearray(given)
    for _ in ("exchange", "routing key"):
        end = at + 1 + given[at]
        made[at + 1 : end] = bytes(byte if byte < ASCII else ord("?") for byte in given[at + 1 : end])
        at = end
    return bytes(made)


def _header(channel: int, size: int, properties: Properties) -> bytes | None:
    headers, content_type, encoding, message_id, timestamp = properties
    said = Basic.Properties(
        headers={name: _sayable(value) for name, value in headers.items()},
        content_type=content_type,
        content_encoding=encoding,
        message_id=message_id,
        timestamp=timestamp,
    )
    try:
        return frame.marshal(ContentHeader(0, size, said), channel)
    except (TypeError, ValueError, OverflowError, struct.error):
        return None


def _sayable(value: Any) -> Any:  # noqa: ANN401 - whatever a header holds
    """``value`` with bytes of the type that pamqp writes: it reads texts that are not UTF-8 as another."""
    if isinstance(value, bytes):
        return bytearray(value)
    if isinstance(value, dict):
        return {name: _sayable(it) for name, it in value.items()}
    return [_sayable(it) for it in value] if isinstance(value, list) else value


def _is_readable(given: bytes) -> bool:
    try:
        frame.unmarshal(given)
    except Exception:  # noqa: BLE001 - whatever it raises would be raised in aiormq's reader
        return False
    return True
