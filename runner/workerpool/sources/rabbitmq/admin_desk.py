"""What every part of the administration of a broker needs: the link, what is recorded, and which queues there are."""

import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from workerpool.errors import ConfigError
from workerpool.sources.rabbitmq.admin_limits import Limits
from workerpool.sources.rabbitmq.browsing import Browser, browsing, depth
from workerpool.sources.rabbitmq.envelope import Envelope, copy_id
from workerpool.sources.rabbitmq.ids import EPOCH, SEQUENCE_BITS
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.marks import Marks
from workerpool.sources.rabbitmq.messages import Arrival
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import dead, queue_of_lane, queue_problem

SHOWN: Final = 20
"""Queues that an error names at most."""
LONGEST: Final = 366 * 86_400
"""Seconds: an id that says that its job waited for longer was not made from a clock."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An open link with all that hangs on it. ``wall``: unix seconds. Raises SourceUnavailable, SourceError."""

    link: Link
    sender: Sender
    routing: Routing
    registry: Registry
    history: StreamLog
    marks: Marks
    keys: Keys
    limits: Limits
    wall: Callable[[], float]

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Publishes to queues and waits for the confirms; a queue that is missing is declared."""
        if messages:
            await self.routing.send(messages)

    @asynccontextmanager
    async def looking(self, queue: str, name: str) -> AsyncIterator[Browser]:
        """Looks into ``name``, a lane or the dead letters of ``queue``.

        Raises ConfigError for one that isn't this project's and may lose messages by it.
        """
        async with browsing(self.link, queue, name) as browser:
            if browser.count and not self.is_ours(queue):
                await self.limits.require_free(name)
            yield browser

    async def replace(self, browser: Browser, copies: Sequence[tuple[Arrival, Outgoing]]) -> None:
        """Puts a copy at the end of the queue for each of these, then takes them off it; declares nothing.

        What can't be published again stays as it is.
        """
        sayable = [(it, copy) for it, copy in copies if self.sender.unsayable(copy) is None]
        if sayable:
            await self.sender.send([copy for _, copy in sayable])
            await browser.acknowledge(it for it, _ in sayable)

    def is_ours(self, queue: str) -> bool:
        """Whether a runner or publisher of this project declared the queue, or found it there."""
        return queue in self.registry.known()

    async def queues(self, queue: str | None) -> list[str]:
        """The queue, which must exist, or all that are known. Raises ConfigError for an unknown one."""
        known = list(self.registry.known())
        if queue is None or queue in known:
            return known if queue is None else [queue]
        # One that neither a runner nor a publisher of ours declared.
        if queue_problem(queue) is None and (await depth(self.link, queue) or await depth(self.link, dead(queue))):
            return [queue]
        shown = ", ".join(known[:SHOWN]) or "none yet"
        raise ConfigError(f"queue: {queue!r} is not known here; queues of this virtual host: {shown}")

    def queue_of(self, lane: str) -> str:
        """The queue whose lane this is."""
        return queue_of_lane(lane, self.registry.known())

    def made(self, job: Envelope) -> datetime:
        """When a job was enqueued at first: its id says so, unless it came from somebody else."""
        is_copy = any(topic != job.queue for topic in self.registry.known().get(job.queue, ()))
        id_ = copy_id(job.id, job.queue) if is_copy else job.id
        seconds, ready = (id_ >> SEQUENCE_BITS) / 1_000_000 + EPOCH, job.enqueued / 1000
        if not ready - LONGEST < seconds <= self.wall():
            seconds = self.wall()
        return datetime.fromtimestamp(min(seconds, ready), UTC)


def is_one_of(ids: Collection[int], id_: int, queue: str) -> bool:
    """Whether ``ids`` mean a job of ``queue``: by its own, or by that of the message that it is a copy of."""
    return id_ in ids or copy_id(id_, queue) in ids


def moment(milliseconds: int) -> datetime:
    """A time of a message."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def stable_id(it: Arrival) -> int:
    """An id for a message of somebody else: the same whenever it is looked at."""
    deaths = it.properties.headers.get("x-death")
    said = (it.queue, it.properties.message_id, it.properties.timestamp, deaths)
    digest = hashlib.sha256(repr(said).encode() + it.body).digest()
    return int.from_bytes(digest[:8]) >> 1
