"""Fills the buffers of a source: one by one at first, by consumers once somebody waits for work."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiormq.channel import Channel

from workerpool.errors import SourceUnavailable
from workerpool.sources.base import Subscription
from workerpool.sources.rabbitmq import prefetch
from workerpool.sources.rabbitmq.buffer import Buffer
from workerpool.sources.rabbitmq.consuming import Consumers
from workerpool.sources.rabbitmq.declare import ensure_shared, ensure_subscription
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.intake import Intake
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.messages import Arrival
from workerpool.sources.rabbitmq.pulling import Puller

log = logging.getLogger("workerpool.rabbitmq")

PULLED: Final = 256
"""Jobs that may be taken one by one before consumers take over, even if nobody waits."""


@dataclass(slots=True)
class Feeding:
    """``woken``: called when a job may be ready. ``slots``: jobs that the runner works on at once."""

    link: Link
    intake: Intake
    buffers: Mapping[str, Buffer]
    subscriptions: Sequence[Subscription]
    slots: int
    woken: Callable[[], None]
    prefetch: int = field(init=False)
    consumers: Consumers = field(init=False)
    _puller: Puller = field(init=False)
    declared: bool = False
    _warned: set[str] = field(default_factory=set)
    _busy: set["asyncio.Task[Any]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Nothing is consumed before somebody waits."""
        self.prefetch = prefetch.first(self.slots)
        self.consumers = Consumers(self.link, self._consumed)
        self._puller = Puller(self._pulled)

    @property
    def consuming(self) -> bool:
        """Whether consumers fill the buffers."""
        return self.consumers.active and self.consumers.epoch == self.link.epoch

    def lost(self) -> None:
        """The channel is gone; queues may be gone as well."""
        self.consumers.forget()
        self.declared = False

    async def declare(self) -> None:
        """Declares what is missing; a queue with other arguments than ours is used as it is. Raises SourceError."""
        warnings = await ensure_shared(self.link)
        for it in self.subscriptions:
            limit = self.link.endpoint.delivery_limit
            warnings += await ensure_subscription(self.link, it.topic, it.queue, limit)
        for text in warnings:
            if text not in self._warned:
                self._warned.add(text)
                log.warning("%s", text)
        self.declared = True

    async def top_up(self, wants: Mapping[str, int]) -> None:
        """Takes one by one what consumers don't bring. Raises SourceError."""
        if not self.consuming:
            await self._apart(self._pull(wants))
            if self._puller.pulled >= PULLED:
                await self.consume()
            return
        if self.intake.holding.jobs:
            # Whoever has work can wait for the consumers, which are a hundred times cheaper.
            return
        beyond = {queue: n for queue, n in wants.items() if n > self.prefetch and n > len(self.buffers[queue])}
        if beyond:
            await self._apart(self._pull(beyond))

    async def consume(self) -> None:
        """Every lane has a consumer. Raises SourceError."""
        await self._apart(self._consume())

    async def stop(self) -> None:
        """No further deliveries. Raises SourceError."""
        await self._apart(self._stop())

    async def ready(self, queues: Iterable[str]) -> int:
        """Jobs of ``queues`` that the broker could deliver now, by its own count. Raises SourceError."""
        count = 0
        async with self.link.scratch() as channel:
            for queue in queues:
                for lane in self.buffers[queue].lanes:
                    count += (await channel.queue_declare(lane, passive=True)).message_count or 0
        return count

    async def _pull(self, wants: Mapping[str, int]) -> None:
        channel = await self._channel()
        epoch = self.link.epoch
        with translated(self.link.endpoint):
            for queue, n in wants.items():
                await self._puller.fill(channel, epoch, self.buffers[queue], n, self.prefetch)

    async def _consume(self) -> None:
        if missing := self.consumers.missing:
            log.warning("The broker ended the consumers of %s; starting them again", ", ".join(missing))
            self.declared = False
        channel = await self._channel()
        wanted = [(queue, lane) for queue, buffer in self.buffers.items() for lane in buffer.lanes]
        holding = self.intake.holding
        crowded, holding.crowded = holding.crowded, set()
        with translated(self.link.endpoint):
            await self.consumers.ensure(channel, self.link.epoch, wanted, self.prefetch, crowded)

    async def _stop(self) -> None:
        with translated(self.link.endpoint):
            await self.consumers.stop()

    async def _channel(self) -> Channel:
        if not self.declared:
            await self.declare()
        channel = self.link.consume_channel()
        assert isinstance(channel, Channel)
        return channel

    async def _apart(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs to its end even if the caller is cancelled: a call broken off would cost the channel and its jobs."""
        task = asyncio.create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        await asyncio.shield(task)

    def _consumed(self, it: Arrival, epoch: int) -> None:
        if epoch == self.link.epoch:
            self.intake.arrived(it, epoch)
            self.woken()

    def _pulled(self, it: Arrival, epoch: int) -> bool:
        if epoch != self.link.epoch:
            # The channel was given up while the broker answered: it takes this message back when it hears of that.
            raise SourceUnavailable(f"{self.link.endpoint.shown}: the channel was given up")
        return self.intake.arrived(it, epoch)
