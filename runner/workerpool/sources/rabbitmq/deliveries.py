"""The fast way in: deliveries are read straight off the stream, everything else goes on to aiormq.

For each message aiormq reads three frames in nine steps, puts them through two queues and starts a task. Here a chunk
that came off the socket is cut into messages at once, and each is handed to its consumer's function, in order.

An exception in here, or in aiormq's reader, costs the connection and the jobs that are held on it, and the message that
was to blame would come again at once: nothing that a foreign program can publish may raise one.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, SupportsIndex

from workerpool.sources.rabbitmq.basicproperties import read_properties
from workerpool.sources.rabbitmq.envelope import Properties
from workerpool.sources.rabbitmq.readable import DELIVER, GET_OK, RETURN, readable_header, readable_method

log = logging.getLogger("workerpool.rabbitmq")

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
FRAME_TYPES: Final = frozenset({METHOD, HEADER, BODY, 8})
OVERHEAD: Final = 8
"""Bytes of a frame beside its payload: type, channel, size and end."""
OPENINGS: Final = FRAME_TYPES | {ord("A")}
"""First bytes of a broker: a frame, or which other version of AMQP it speaks."""
END: Final = 0xCE
"""The last byte of every frame."""
ANNOUNCING: Final = (DELIVER, GET_OK, RETURN)
"""Class and method of what comes before a message's header and body."""
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


class NotAmqp(Exception):
    """What is at the other end speaks no AMQP. ``said``: its first bytes, none when it ended the stream unasked."""

    def __init__(self, said: bytes) -> None:
        """Keeps the bytes."""
        super().__init__("no AMQP")
        self.said = said


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
        """Takes no delivery out of the stream before there are ``consumers``."""
        super().__init__(loop=loop)
        self.consumers: dict[bytes, Deliver] = {}
        self._loop_time = loop.time
        self._rest = b""
        self._open: dict[int, _Content] = {}
        self._passed_at = loop.time()
        self._lost = False
        self._heard = False
        self._ended = False

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """A chunk came."""
        chunk = bytes(data)
        if chunk and not self._heard:
            self._heard = True
            if chunk[0] not in OPENINGS:
                # aiormq would take the text for the length of a frame, and wait for the rest of it.
                self.set_exception(NotAmqp(chunk))
        if self._lost:
            super().feed_data(chunk)
            return
        stream = self._rest + chunk if self._rest else chunk
        passed = self._cut(stream)
        now = self._loop_time()
        if not passed and now - self._passed_at > SILENCE and len(self._rest) < len(stream):
            passed = HEARTBEAT
        if passed:
            self._passed_at = now
            super().feed_data(passed)

    def feed_eof(self) -> None:
        """Nothing more comes: aiormq has the words for half a frame."""
        # The end of the stream is told first, that of the connection later.
        if self._ended:
            return
        self._ended = True
        if not self._heard:
            self.set_exception(NotAmqp(b""))
        rest, self._rest = self._rest, b""
        super().feed_data(rest)
        super().feed_eof()

    def _cut(self, data: bytes) -> bytes:
        """Hands over the deliveries in ``data``, keeps an incomplete frame for later and returns the rest."""
        passed: list[bytes] = []
        # From ``run`` to ``start`` goes on to aiormq in one piece.
        run = start = 0
        length = len(data)
        try:
            while length - start >= OVERHEAD:
                kind, channel, size = _FRAME.unpack_from(data, start)
                end = start + size + OVERHEAD
                if kind not in FRAME_TYPES or (end <= length and data[end - 1] != END):
                    self._lost = True
                    break
                if end > length:
                    break
                if self._take(kind, channel, data, start + 7, end - 1):
                    passed.append(data[run:start])
                    run = end
                elif kind == HEADER or (kind == METHOD and data.startswith(ANNOUNCING, start + 7)):
                    made = readable_header if kind == HEADER else readable_method
                    passed += (data[run:start], made(data[start:end]))
                    run = end
                start = end
        except (IndexError, ValueError, struct.error):
            self._lost = True
        if self._lost:
            # No frames: the broker speaks another protocol. aiormq has the words for that, and ends the connection.
            start = length
        passed.append(data[run:start])
        self._rest = data[start:]
        return b"".join(passed)

    def _take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> bool:
        """Whether the frame, whose payload is ``data[start:end]``, belongs to a delivery for one of the consumers."""
        if kind == METHOD:
            # What was open on the channel, if anything, was given up by the broker.
            self._open.pop(channel, None)
            return data.startswith(DELIVER, start) and self._method(channel, data, start + 4)
        content = self._open.get(channel)
        if content is None:
            return False
        if kind == HEADER:
            _, _, content.missing, flags = _CONTENT.unpack_from(data, start)
            content.properties = read_properties(flags, data, start + _CONTENT.size, end)
        elif kind == BODY:
            content.parts.append(data[start:end])
            content.missing -= end - start
        else:
            return False
        if content.missing <= 0:
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
        exchange = data[at + 1 : at + 1 + data[at]].decode(errors="replace")
        at += 1 + data[at]
        routing_key = data[at + 1 : at + 1 + data[at]].decode(errors="replace")
        self._open[channel] = _Content(consumer, tag, redelivered, exchange, routing_key)
        return True

    @staticmethod
    def _hand_over(content: _Content) -> None:
        parts = content.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if content.properties is None:
            raise ValueError(content.tag)
        message = Delivered(
            content.tag, content.redelivered, content.exchange, content.routing_key, content.properties, body
        )
        try:
            content.deliver(message)
        except Exception:
            # It stays unacknowledged and comes again with the next connection; all others go on.
            log.exception("Delivery %d was not taken", content.tag)
