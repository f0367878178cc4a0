"""The fast way in: deliveries are read straight off the stream, everything else goes on to aiormq.

For each message aiormq reads three frames in nine steps, puts them through two queues and starts a task. Here a chunk
that came off the socket is cut into messages at once, and each is handed to its consumer's function, in order.
"""

import asyncio
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, SupportsIndex

from workerpool.sources.rabbitmq.basicproperties import read_properties
from workerpool.sources.rabbitmq.envelope import Properties

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
FRAME_TYPES: Final = frozenset({METHOD, HEADER, BODY, 8})
OVERHEAD: Final = 8
"""Bytes of a frame beside its payload: type, channel, size and end."""
DELIVER: Final = b"\x00\x3c\x00\x3c"
"""Class and method of basic.deliver."""
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
SILENCE: Final = 3.0
"""Seconds after which aiormq is told that the connection lives, when only deliveries came."""

_FRAME = struct.Struct(">BHI")
_TAG = struct.Struct(">Q?")
_CONTENT = struct.Struct(">HHQH")


class Delivered(NamedTuple):
    """A message as a consumer gets it; ``redelivered``: it was delivered before."""

    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    body: bytes


Deliver = Callable[[Delivered], None]


@dataclass(slots=True)
class _Content:
    """A delivery whose frames are still coming. ``missing``: bytes of the body; None before the header came."""

    deliver: Deliver
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties | None = None
    missing: int = 0
    parts: list[bytes] = field(default_factory=list)


class DeliveryReader(asyncio.StreamReader):
    """The reader of a connection; ``consumers`` maps consumer tags to the functions that take their deliveries."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes nothing out of the stream before there are ``consumers``."""
        super().__init__(loop=loop)
        self.consumers: dict[bytes, Deliver] = {}
        self._loop_time = loop.time
        self._rest = b""
        self._open: dict[int, _Content] = {}
        self._passed_at = loop.time()

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """A chunk came."""
        chunk = bytes(data)
        if not self.consumers and not self._rest and not self._open:
            super().feed_data(chunk)
            return
        passed = self._cut(self._rest + chunk if self._rest else chunk)
        now = self._loop_time()
        if not passed and now - self._passed_at > SILENCE:
            passed = HEARTBEAT
        if passed:
            self._passed_at = now
            super().feed_data(passed)

    def _cut(self, data: bytes) -> bytes:
        """Hands over the deliveries in ``data``, keeps an incomplete frame for later and returns the rest."""
        passed: list[bytes] = []
        start, length = 0, len(data)
        while length - start >= OVERHEAD:
            kind, channel, size = _FRAME.unpack_from(data, start)
            if kind not in FRAME_TYPES:
                # No frame: the broker speaks another protocol. aiormq has the words for that.
                passed.append(data[start:])
                start = length
                break
            end = start + size + OVERHEAD
            if end > length:
                break
            if not self._take(kind, channel, data, start + 7, end - 1):
                passed.append(data[start:end])
            start = end
        self._rest = data[start:]
        return b"".join(passed)

    def _take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> bool:
        """Whether the frame, whose payload is ``data[start:end]``, belongs to a delivery for one of the consumers."""
        if kind == METHOD:
            return data.startswith(DELIVER, start) and self._method(channel, data, start + 4)
        content = self._open.get(channel)
        if content is None:
            return False
        if kind == HEADER:
            _, _, content.missing, flags = _CONTENT.unpack_from(data, start)
            content.properties = read_properties(flags, data, start + _CONTENT.size)
        elif kind == BODY:
            content.parts.append(data[start:end])
            content.missing -= end - start
        else:
            return False
        if not content.missing:
            del self._open[channel]
            self._hand_over(content)
        return True

    def _method(self, channel: int, data: bytes, at: int) -> bool:
        size = data[at]
        consumer = self.consumers.get(data[at + 1 : at + 1 + size])
        if consumer is None:
            return False
        at += 1 + size
        tag, redelivered = _TAG.unpack_from(data, at)
        at += 9
        exchange = data[at + 1 : at + 1 + data[at]].decode()
        at += 1 + data[at]
        routing_key = data[at + 1 : at + 1 + data[at]].decode()
        self._open[channel] = _Content(consumer, tag, redelivered, exchange, routing_key)
        return True

    @staticmethod
    def _hand_over(content: _Content) -> None:
        parts = content.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        assert content.properties is not None
        message = Delivered(
            content.tag, content.redelivered, content.exchange, content.routing_key, content.properties, body
        )
        content.deliver(message)
