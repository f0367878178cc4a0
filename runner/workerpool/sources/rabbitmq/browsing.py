"""Looking into a queue: its messages are taken one after the other, some are settled, the rest goes back in order.

A quorum queue gives back in the order of one consumer's deliveries, but not in that of single gets, so this consumes;
each time with a consumer of its own that brings no more than was asked for, since every delivery counts.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from workerpool.errors import SourceUnavailable
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.messages import Arrival, arrival

WINDOW: Final = 100
"""Messages that are taken at a time, by default and at most: they may be large."""
SILENCE: Final = 0.5
"""Seconds without a message until the queue is asked whether there are any left."""
PATIENCE: Final = 30.0
"""Seconds that a queue may take to deliver what it says that it has."""

RETURNING: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses (seconds) in which a queue may take back what it was given; others may take it at once."""


class Browser:
    """The messages that were in ``name`` when it was opened: a lane, a wait queue or the dead letters of ``queue``.

    ``count``: how many there were. Whatever isn't acknowledged goes back when the browser is closed; without
    ``requeue`` to where the queue sends what it gives up.
    """

    def __init__(self, channel: AbstractChannel, queue: str, name: str, count: int, *, requeue: bool = True) -> None:
        """Consumes nothing yet."""
        self.queue = queue
        self.name = name
        self.count = count
        self._requeue = requeue
        self._channel = channel
        self._arrived: list[Arrival] = []
        self._news = asyncio.Event()
        self._taken = 0
        self._held: list[set[int]] = []
        self._closing = channel.closing
        self._closing.add_done_callback(lambda _: self._news.set())

    async def take(self, most: int = WINDOW) -> list[Arrival]:
        """The next messages, at most ``most``; none when all that were there are through. Raises SourceUnavailable."""
        wanted = min(most, WINDOW, self.count - self._taken)
        if wanted <= 0:
            return []
        self._arrived = []
        await self._channel.basic_qos(prefetch_count=wanted)
        consumer = await self._channel.basic_consume(self.name, self._deliver)
        while len(self._arrived) < wanted and await self._more():
            pass
        await self._channel.basic_cancel(consumer.consumer_tag or "")
        found = self._arrived
        self._taken += len(found)
        self._held.append({it.tag for it in found})
        return found

    async def acknowledge(self, settled: Iterable[Arrival]) -> None:
        """These are done with: copied, dropped or cancelled."""
        for it in settled:
            await self._channel.basic_ack(it.tag, wait=False)
            for tags in self._held:
                tags.discard(it.tag)
        await self._answered()

    async def give_back(self) -> None:
        """What wasn't acknowledged goes back, in the order in which it came."""
        self._closing.cancel()
        held = [max(tags) for tags in self._held if tags]
        if self._channel.is_closed or not held:
            return
        for tag in held:
            await self._channel.basic_nack(tag, multiple=True, requeue=self._requeue, wait=False)
        await self._answered()
        if self._requeue:
            await self._taken_back(sum(map(len, self._held)))

    async def _taken_back(self, count: int) -> None:
        """Waits a little until whoever looks next finds them: a quorum queue takes them back after it has answered."""
        for pause in RETURNING:
            declared = await self._channel.queue_declare(self.name, passive=True)
            if (declared.message_count or 0) >= count or declared.consumer_count:
                return
            await asyncio.sleep(pause)

    async def _answered(self) -> None:
        """A call that is answered: what was written before it has arrived."""
        await self._channel.queue_declare(self.name, passive=True)

    async def _deliver(self, message: DeliveredMessage) -> None:
        self._arrived.append(arrival(self.queue, self.name, message))
        self._news.set()

    async def _more(self) -> bool:
        """Waits for further messages; False when others have taken the rest."""
        self._news.clear()
        try:
            async with asyncio.timeout(SILENCE):
                await self._news.wait()
        except TimeoutError:
            return await self._is_waiting()
        return self._must_be_open()

    async def _is_waiting(self) -> bool:
        declared = await self._channel.queue_declare(self.name, passive=True)
        if self._news.is_set() or not declared.message_count:
            return self._news.is_set()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._news.wait()
        except TimeoutError:
            raise SourceUnavailable(
                f"queue {self.name!r} has {declared.message_count} messages and delivers none; try again later"
            ) from None
        return self._must_be_open()

    def _must_be_open(self) -> bool:
        if self._closing.done():
            raise SourceUnavailable(f"queue {self.name!r}: the connection ended while it was looked through")
        return True


class Depth(NamedTuple):
    """A queue on the broker: messages that nobody holds, and consumers."""

    messages: int
    consumers: int


async def depth(link: Link, name: str) -> Depth | None:
    """What the broker says of a queue, None when there is none. Raises SourceUnavailable, SourceError."""
    try:
        async with link.scratch() as channel:
            declared = await channel.queue_declare(name, passive=True)
    except ChannelNotFoundEntity:
        return None
    return Depth(declared.message_count or 0, declared.consumer_count or 0)


@asynccontextmanager
async def browsing(link: Link, queue: str, name: str, *, requeue: bool = True) -> AsyncIterator[Browser]:
    """Looks into ``name``, which belongs to ``queue``; there is nothing in a queue that doesn't exist.

    Raises SourceUnavailable, SourceError.
    """
    found = await depth(link, name)
    async with link.scratch() as channel:
        browser = Browser(channel, queue, name, found.messages if found else 0, requeue=requeue)
        try:
            yield browser
        finally:
            await browser.give_back()
