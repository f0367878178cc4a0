"""Consumers of the lanes: started once per epoch, started again when the broker cancels them or the prefetch changes.

A prefetch holds for the consumers that are started after it was set, so another prefetch means other consumers.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from workerpool.sources.rabbitmq.deliveries import Delivered
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.messages import Arrival

log = logging.getLogger("workerpool.rabbitmq")


@dataclass(slots=True)
class Running:
    """One consumer: its tag and the prefetch that it was started with."""

    tag: str
    prefetch: int


@dataclass(slots=True)
class Consumers:
    """The consumers of one epoch. ``take``: given each arrival and the epoch that it belongs to."""

    link: Link
    take: Callable[[Arrival, int], object]
    epoch: int = 0
    _running: dict[str, Running] = field(default_factory=dict)
    _channel: Channel | None = None
    _started: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def forget(self) -> None:
        """The channel is gone, and they with it."""
        self._running = {}
        self._channel = None

    @property
    def active(self) -> bool:
        """Whether anything is consumed."""
        return bool(self._running)

    @property
    def missing(self) -> list[str]:
        """Lanes whose consumer the broker cancelled: aiormq drops it and tells nobody who doesn't ask."""
        channel = self._channel
        if channel is None:
            return []
        return [lane for lane, it in self._running.items() if it.tag not in channel.consumers]

    async def ensure(
        self,
        channel: Channel,
        epoch: int,
        lanes: Iterable[tuple[str, str]],
        prefetch: int,
        crowded: AbstractSet[str] = frozenset(),
    ) -> None:
        """Every lane (of the queue named first) has a consumer with this prefetch. Raises what aiormq raises.

        ``crowded``: lanes that get a new one in any case, on which what the old one got doesn't count.
        """
        async with self._lock:
            if self.epoch != epoch or self._channel is not channel:
                self.epoch, self._channel, self._running = epoch, channel, {}
            for queue, lane in lanes:
                running = self._running.get(lane)
                if running is None or running.tag not in channel.consumers:
                    await self._start(channel, queue, lane, prefetch)
                elif running.prefetch != prefetch or lane in crowded:
                    await self._start(channel, queue, lane, prefetch)
                    await channel.basic_cancel(running.tag)
                    self.link.consumers().pop(running.tag.encode(), None)

    async def stop(self) -> None:
        """No further deliveries. Raises what aiormq raises."""
        async with self._lock:
            channel, running = self._channel, self._running
            self._running = {}
            if channel is not None:
                for it in running.values():
                    if it.tag in channel.consumers:
                        await channel.basic_cancel(it.tag)

    async def _start(self, channel: Channel, queue: str, lane: str, prefetch: int) -> None:
        self._started += 1
        label, epoch, take = f"workerpool-{self._started}", self.epoch, self.take

        def deliver(message: Delivered) -> None:
            take(Arrival(queue, lane, *message), epoch)

        await channel.basic_qos(prefetch_count=prefetch)
        self._running[lane] = Running(label, prefetch)
        self.link.consumers()[label.encode()] = deliver
        await channel.basic_consume(lane, _passed_over, consumer_tag=label)


async def _passed_over(message: DeliveredMessage) -> None:
    """Deliveries never come this way, they are taken off the stream; aiormq wants to know the consumer all the same."""
    raise AssertionError(f"{message!r} took the slow way")
