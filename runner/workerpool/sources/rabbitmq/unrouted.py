"""Jobs whose lane was gone when their time had come: back into it, as soon as it is there.

The ladder of waits hands jobs on by an exchange. What no lane is bound for there lands in a queue of its own, where it
holds up nobody, and every runner looks there. A job is taken off that queue only after its lane has confirmed it. What
a broker gives up there because of a limit of deliveries comes back by a second queue: see `rounds`.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from pamqp.commands import Basic

from workerpool.errors import ConfigError, PayloadError, SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.crashes import delivery_number
from workerpool.sources.rabbitmq.declare import ensure_queue, ensure_shared
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.messages import Arrival, arrival
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.rounds import holds, sends_on
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.spacing import Spacing
from workerpool_contract.rabbitmq import BROKER_HEADER_PREFIXES, UNROUTED, UNROUTED_AGAIN, queue_of_lane

log = logging.getLogger("workerpool.rabbitmq")

PAUSE: Final = 5.0
"""Seconds between two looks; jobs that can't be placed are left alone for longer each time."""
MOST: Final = 30
"""Jobs that are taken at once.

A broker stashes what a channel says about a quorum queue beyond 32 things that aren't through, and forgets the stash
with the channel: acknowledgements would get lost, and jobs come twice.
"""
MOST_BYTES: Final = 16 * 1_048_576
"""Bytes that are taken at once; the job that goes beyond is the last one."""
ROUNDS: Final = 10
"""How often jobs are taken in one look."""
PATIENCE: Final = 60.0
"""Seconds that one look may take."""
RETURNS: Final = 2
"""Looks after which a job that can't be placed stays as a copy: a policy for all queues of a broker may limit them."""
MOST_TOLD: Final = 100
"""Queues that are remembered as told: anybody may send here what belongs to any."""
FAREWELL: Final = 3.0
"""Seconds that a look under way has left when its runner stops."""


class _Lost(NamedTuple):
    """A job without a lane, and the queue that it belongs to."""

    queue: str
    arrival: Arrival

    @property
    def number(self) -> int:
        """How often it was looked at before."""
        return delivery_number(self.arrival.properties.headers, redelivered=self.arrival.redelivered)

    def to(self, exchange: str) -> Outgoing:
        """The job as it was before it waited, addressed to its lane."""
        it = self.arrival
        headers = {
            name: value for name, value in it.properties.headers.items() if not name.startswith(BROKER_HEADER_PREFIXES)
        }
        kind = it.properties.content_type or "application/json"
        return Outgoing(exchange, it.routing_key, it.body, headers, content_type=kind)


class Round(NamedTuple):
    """Jobs that went into their lanes, those that came back from the broker's hands, and whether there may be more."""

    placed: int
    revived: int
    more: bool


@dataclass(slots=True)
class Unrouted:
    """Looks now and then, beside everything else. ``clock``: steady seconds."""

    link: Link
    sender: Sender
    registry: Registry
    clock: Callable[[], float]
    _next: float = float("-inf")
    _epoch: int = 0
    _look: "asyncio.Task[None] | None" = None
    _told: set[str] = field(default_factory=set)
    _spacing: Spacing = field(default_factory=Spacing)

    def beat(self) -> None:
        """Starts a look when it is time: at once on a new channel, and every few seconds when there may be news."""
        if self.link.blocked or (self._look is not None and not self._look.done()):
            return
        if self.link.epoch == self._epoch and self.clock() < self._next:
            return
        if self.link.epoch != self._epoch:
            self._spacing.again()
        self._epoch, self._next = self.link.epoch, self.clock() + PAUSE
        self._look = asyncio.create_task(self._looked(), name="unrouted jobs")

    async def stop(self) -> None:
        """Lets a look end, but not for long. What is broken off is on the broker still, or twice."""
        if self._look is not None:
            await asyncio.wait({self._look}, timeout=FAREWELL)
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def place(self) -> Round:
        """Takes some jobs and puts them into their lanes.

        What can't be placed goes back; when there may be more behind it, as a copy at the end. Raises SourceError,
        AMQPError.
        """
        try:
            async with self.link.scratch() as channel:
                revived = await self._revive(channel)
                found, full = await self._take(channel)
                more = full or revived == MOST
                if not found:
                    return Round(0, revived, more)
                errors = await self._declare({it.queue for it in found})
                placed = await self._move(channel, found, "")
                left = [it for it in found if it not in placed]
                self._tell(placed, left, errors)
                await self._put_back(channel, left, full=full)
                return Round(len(placed), revived, more)
        except ChannelNotFoundEntity:
            # Without this queue the ladder would stop again.
            await ensure_shared(self.link)
            return Round(0, 0, more=False)

    async def _looked(self) -> None:
        placed = revived = there = 0
        try:
            async with asyncio.timeout(PATIENCE):
                there = await holds(self.link)
                if self._spacing.is_early(there, self.clock()):
                    return
                for _ in range(ROUNDS):
                    taken = await self.place()
                    placed, revived = placed + taken.placed, revived + taken.revived
                    if not taken.more:
                        break
                else:
                    self._next = self.clock() if placed else self._next
        except (SourceError, AMQPError, TimeoutError) as error:
            log.debug("looking for jobs without a lane is put off: %s", error)
        except Exception:
            log.exception("looking for jobs without a lane failed")
        self._spacing.looked(there, placed=placed, revived=revived, now=self.clock(), shortest=PAUSE)

    async def _revive(self, channel: AbstractChannel) -> int:
        """Sends what the broker gave up back to the others, with a fresh count; how many."""
        if not await sends_on(self.link, UNROUTED_AGAIN):
            return 0
        for revived in range(MOST):
            message = await channel.basic_get(UNROUTED_AGAIN)
            if isinstance(message.delivery, Basic.GetEmpty):
                return revived
            await channel.basic_nack(arrival("", UNROUTED_AGAIN, message).tag, requeue=False, wait=False)
        return MOST

    async def _put_back(self, channel: AbstractChannel, left: Sequence[_Lost], *, full: bool) -> None:
        """Each to its place, or to the end when others may be behind it or its count is high.

        One that can't be published as a copy goes there by the broker's own hands, where that is sure.
        """
        worn = [it for it in left if full or it.number >= RETURNS]
        moved = await self._move(channel, worn, UNROUTED)
        stuck = [it for it in worn if it not in moved]
        rejects = stuck if stuck and await sends_on(self.link, UNROUTED) else []
        for it in left:
            if it not in moved:
                await channel.basic_nack(it.arrival.tag, requeue=it not in rejects, wait=False)

    async def _take(self, channel: AbstractChannel) -> tuple[list[_Lost], bool]:
        """Some jobs, and whether there may be more."""
        known = self.registry.known()
        found: list[_Lost] = []
        size = 0
        while len(found) < MOST and size < MOST_BYTES:
            message = await channel.basic_get(UNROUTED)
            if isinstance(message.delivery, Basic.GetEmpty):
                return found, False
            it = arrival("", UNROUTED, message)
            found.append(_Lost(queue_of_lane(it.routing_key, known), it))
            size += len(it.body)
        return found, True

    async def _declare(self, queues: set[str]) -> Mapping[str, str]:
        """Sees to the lanes of ``queues``, and that they are bound; why it could not, by queue."""
        errors: dict[str, str] = {}
        for queue in sorted(queues):
            try:
                await ensure_queue(self.link, queue, self.link.endpoint.delivery_limit)
                await self.registry.note(queue)
            except SourceUnavailable:
                raise
            except (SourceError, ConfigError) as error:
                errors[queue] = str(error)
        return errors

    async def _move(self, channel: AbstractChannel, jobs: Sequence[_Lost], exchange: str) -> list[_Lost]:
        """Publishes, and acknowledges those that a queue has taken for good; returns them."""
        pairs = [(it, message) for it in jobs if self.sender.unsayable(message := it.to(exchange)) is None]
        if not pairs:
            return []
        try:
            fates = await self.sender.outcomes([message for _, message in pairs])
        except PayloadError:
            # The broker has just said how large a message may be: now it is known which one is too large.
            return await self._move(channel, [it for it, _ in pairs], exchange)
        taken = [it for (it, _), fate in zip(pairs, fates, strict=True) if fate is Fate.CONFIRMED]
        for it in taken:
            await channel.basic_ack(it.arrival.tag, wait=False)
        return taken

    def _tell(self, placed: Sequence[_Lost], left: Sequence[_Lost], errors: Mapping[str, str]) -> None:
        for queue, count in Counter(it.queue for it in placed).items():
            log.info("queue %r: %d jobs are in it that found no lane when their time had come", queue, count)
            self._told.discard(queue)
        for queue in {it.queue: None for it in left}:
            if queue not in self._told and len(self._told) < MOST_TOLD:
                self._told.add(queue)
                why = errors.get(queue, "it is full, was deleted again, or the broker takes no messages of that size")
                log.warning("jobs of queue %r wait in %s, since they can't go there: %s", queue, UNROUTED, why)
