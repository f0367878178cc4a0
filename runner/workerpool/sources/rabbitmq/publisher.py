"""Enqueueing on RabbitMQ: every message confirmed by the broker, many on their way at once."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from workerpool.errors import SourceError, SourceUnavailable
from workerpool.sources.base import Enqueued, NewJob
from workerpool.sources.rabbitmq.declare import ensure_shared, require_name
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.placing import Placing

LOGGER = logging.getLogger(__name__)

CHUNK: Final = 2_000
"""Jobs that are made into messages at a time."""
PATIENCE: Final = 10.0
"""Seconds that an enqueue waits for a broker that was there before."""


@dataclass(slots=True)
class RabbitmqPublisher:
    """Enqueues over a link of its own, opened at first use, which heals by itself until it is closed.

    ``wall``: unix seconds. A broker has no transactions: when a call raises, some of its jobs may be there.
    """

    outside_transactions: ClassVar[str | None] = (
        "a job on RabbitMQ can't be part of a database transaction; leave it out and enqueue after the commit, or use "
        "Postgres for this queue"
    )
    endpoint: Endpoint
    wall: Callable[[], float] = time.time
    _link: Link | None = None
    _placing: Placing | None = None
    _declared: bool = False
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def enqueue(self, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Durable when it returns. Raises ConfigError, PayloadError, SourceUnavailable, SourceError."""
        placing = await self._ready(queue)
        made: list[Enqueued] = []
        for start in range(0, len(jobs), CHUNK):
            made += await self._place(placing, queue, jobs[start : start + CHUNK])
        return made

    async def enqueue_chunks(self, queue: str, chunks: Iterable[Sequence[NewJob]]) -> int:
        """Enqueues chunk after chunk; returns how many. Raises as ``enqueue``, and the message says how many are there.

        For more jobs than fit in memory: each chunk is confirmed before the next one is asked for.
        """
        placing = await self._ready(queue)
        sent = 0
        for jobs in chunks:
            try:
                sent += sum(not it.duplicate for it in await self._place(placing, queue, jobs))
            except SourceError as error:
                kind = SourceUnavailable if isinstance(error, SourceUnavailable) else SourceError
                raise kind(f"{error}; {sent} jobs were enqueued before, maybe some of the next {len(jobs)}") from None
        return sent

    async def enqueue_bulk(self, queue: str, payloads: Sequence[str]) -> int:
        """Enqueues many plain jobs (no ids, priority, delay or key); returns how many. Raises as ``enqueue``."""
        placing = await self._ready(queue)
        for start in range(0, len(payloads), CHUNK):
            await self._place(placing, queue, [NewJob(payload) for payload in payloads[start : start + CHUNK]])
        return len(payloads)

    async def close(self) -> None:
        """Closes the link; a later call would open another one."""
        async with self._opening:
            link, placing = self._link, self._placing
            self._link = self._placing = None
            if placing is not None:
                await placing.close()
            if link is not None:
                await link.close()

    async def _place(self, placing: Placing, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        with translated(self.endpoint):
            return await placing.place(queue, jobs)

    async def _ready(self, queue: str) -> Placing:
        require_name(queue)
        async with self._opening:
            if self._link is None or self._placing is None:
                await self._open()
            assert self._link is not None
            assert self._placing is not None
            await self._link.ready(PATIENCE)
            if not self._declared:
                await self._declare(self._link)
            return self._placing

    async def _open(self) -> None:
        link = Link(self.endpoint, name="workerpool enqueue")
        await link.open()
        try:
            await self._declare(link)
        except BaseException:
            await link.close()
            raise
        link.on_ready(self._came_back)
        self._link, self._placing = link, Placing(link, self.wall)

    async def _declare(self, link: Link) -> None:
        for warning in await ensure_shared(link):
            LOGGER.warning("%s", warning)
        self._declared = True

    def _came_back(self) -> None:
        """An exchange that was deleted is what the broker closes a channel for."""
        self._declared = False
