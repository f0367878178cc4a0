"""Reading a stream: from where, how fast, and when it ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from aiormq.abc import AbstractChannel, DeliveredMessage

from workerpool.sources.rabbitmq.link import Link

PREFETCH: Final = 200
"""Messages on their way at most; a stream needs a limit."""
ACK_EVERY: Final = 50
OFFSET: Final = "x-stream-offset"
LARGEST_CHUNK: Final = 20_000
"""More messages than a broker puts together; it sends them without a pause when it may."""

Offset = int | datetime | str
"""From where: a message's number, a moment (whole chunks, so some earlier messages too), "first" or "next"."""


class Record(NamedTuple):
    """One message of a stream and its number there."""

    offset: int
    body: bytes
    headers: dict[str, Any]


@asynccontextmanager
async def reading(
    link: Link, stream: str, offset: Offset, take: Callable[[Record], None]
) -> AsyncIterator["asyncio.Future[bool]"]:
    """Gives ``take`` every message from ``offset`` on, in order, while the block runs.

    Yields a future for the end of the reading: True when the broker cancelled it (the stream was deleted), False when
    the connection was lost, or the exception that ``take`` raised. Raises SourceUnavailable, and aiormq's
    ChannelNotFoundEntity when there is no such stream.
    """
    async with link.scratch() as channel:
        reader = _Reader(channel, take)
        await channel.basic_qos(prefetch_count=PREFETCH)
        channel.on_consumer_cancel_callbacks.add(lambda _: reader.end(cancelled=True))
        await channel.basic_consume(stream, reader.take, arguments={OFFSET: offset})
        closing = channel.closing
        closing.add_done_callback(lambda _: reader.end(cancelled=False))
        try:
            yield reader.ended
        finally:
            closing.cancel()
            reader.end(cancelled=False)


async def last_offset(link: Link, stream: str, patience: float) -> int | None:
    """The number of the last message that was in the stream when this was called, or of a later one.

    None when nothing came within ``patience`` seconds: there is none, or the broker is slow. Nothing is written, and in
    a cluster the replica at hand decides. Raises as ``reading``.
    """
    last = -1
    begun = asyncio.Event()

    async def take(message: DeliveredMessage) -> None:
        nonlocal last
        offset = (message.header.properties.headers or {})[OFFSET]
        assert isinstance(offset, int)
        last = max(last, offset)
        begun.set()

    async with link.scratch() as channel:
        await channel.basic_qos(prefetch_count=LARGEST_CHUNK)
        await channel.basic_consume(stream, take, arguments={OFFSET: "last"})
        try:
            async with asyncio.timeout(patience):
                await begun.wait()
        except TimeoutError:
            return None
        # The broker sends the rest of the chunk before it answers anything else.
        await channel.basic_qos(prefetch_count=LARGEST_CHUNK)
        return last


class _Reader:
    """One consumer of a stream: acknowledges in portions, notices the end."""

    def __init__(self, channel: AbstractChannel, take: Callable[[Record], None]) -> None:
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._channel = channel
        self._take = take
        self._unacknowledged = 0

    async def take(self, message: DeliveredMessage) -> None:
        """One message; aiormq calls in the order of the stream."""
        if self.ended.done():
            return
        headers = dict(message.header.properties.headers or {})
        offset = headers.pop(OFFSET)
        assert isinstance(offset, int)
        try:
            self._take(Record(offset, message.body, headers))
        except Exception as error:  # noqa: BLE001 - raised where the reading is awaited
            if not self.ended.done():
                self.ended.set_exception(error)
            return
        self._unacknowledged += 1
        if self._unacknowledged >= ACK_EVERY and message.delivery_tag is not None:
            self._unacknowledged = 0
            await self._channel.basic_ack(message.delivery_tag, multiple=True, wait=False)

    def end(self, *, cancelled: bool) -> None:
        """Nothing comes any more."""
        if not self.ended.done():
            self.ended.set_result(cancelled)
        elif not self.ended.cancelled():
            # Looked at, so that asyncio doesn't report an exception that nobody waits for any more.
            self.ended.exception()
