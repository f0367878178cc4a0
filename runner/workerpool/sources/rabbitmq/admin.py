"""Looking at jobs and dead letters of a RabbitMQ virtual host, and putting them right: retry, cancel, redrive, drop.

A broker shows a message only by handing it out. What somebody holds nobody else sees, so jobs in flight are not listed.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.sources.administration import (
    Change,
    DeadFilter,
    DeadJob,
    JobDetails,
    JobRow,
    JobState,
    Progress,
    TopicQueue,
    untold,
)
from workerpool.sources.rabbitmq.admin_changes import Changes
from workerpool.sources.rabbitmq.admin_desk import Desk
from workerpool.sources.rabbitmq.admin_details import details
from workerpool.sources.rabbitmq.admin_lanes import delayed_rows, ready_rows
from workerpool.sources.rabbitmq.admin_letters import Letters
from workerpool.sources.rabbitmq.admin_limits import Limits
from workerpool.sources.rabbitmq.admin_others import others
from workerpool.sources.rabbitmq.admin_past import ended_rows
from workerpool.sources.rabbitmq.admin_subscriptions import subscriptions, unsubscribe
from workerpool.sources.rabbitmq.declare import exists
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.management import management
from workerpool.sources.rabbitmq.marks import Marks
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool.sources.rabbitmq.topology import Queue
from workerpool_contract.rabbitmq import HISTORY, MARKS, STREAMS, SUBSCRIPTIONS

T = TypeVar("T")

UNSEEN: Final = "jobs that runners hold, which RabbitMQ shows nobody else; /health of a runner says how many it has"


@dataclass(slots=True)
class RabbitmqAdmin:
    """Administration over a link of its own; ``async with`` opens and closes it. ``wall``: unix seconds.

    ``management_url``: None for the usual port of the broker's host.

    All methods raise SourceUnavailable and SourceError; opening raises ConfigError too.
    """

    endpoint: Endpoint
    wall: Callable[[], float] = time.time
    management_url: str | None = field(default=None, repr=False)
    _desk: Desk | None = None
    _others: str | None = None

    async def __aenter__(self) -> Self:
        """Connects and reads which queues there are."""
        link = Link(self.endpoint, name="workerpool admin")
        await link.open()
        sender = Sender(link)
        registry = Registry(link, sender)
        try:
            with translated(self.endpoint):
                # Looking declares nothing, and without a record there is nothing to know.
                if await exists(link, Queue(SUBSCRIPTIONS, STREAMS[SUBSCRIPTIONS])):
                    await registry.open()
        except BaseException:
            await link.close()
            raise
        history, marks = StreamLog(link, sender, HISTORY), Marks(StreamLog(link, sender, MARKS))
        routing, limits = Routing(link, sender, registry.note), Limits(link, self.management_url)
        self._desk = Desk(link, sender, routing, registry, history, marks, Keys(link), limits, self.wall)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Gives back what is held, and the connections."""
        desk, self._desk = self.desk, None
        await desk.registry.close()
        await desk.link.close()

    @property
    def desk(self) -> Desk:
        """What it works with."""
        if self._desk is None:
            msg = "RabbitmqAdmin is used inside `async with`"
            raise RuntimeError(msg)
        return self._desk

    @property
    def unseen(self) -> str | None:
        """Jobs in flight are not listed, nor is what no runner or publisher ever used."""
        return UNSEEN if self._others is None else f"{UNSEEN}; {self._others} (name one with --queue)"

    async def topics(self) -> list[TopicQueue]:
        """Which queues get copies of which topics."""
        return await self._guarded(subscriptions(self.desk))

    async def unsubscribe(self, topic: str, queue: str) -> TopicQueue:
        """Ends a subscription; raises ConfigError when there is none, SourceError while a runner consumes the queue."""
        return await self._guarded(unsubscribe(self.desk, topic, queue))

    async def jobs(self, queue: str | None, state: JobState | None, limit: int) -> list[JobRow]:
        """At most ``limit`` jobs in the order in which they come up; without a state what isn't finished nor in flight.

        Raises ConfigError for an unknown queue and for jobs in flight.
        """
        queues = await self._guarded(self.desk.queues(queue))
        if state is JobState.IN_FLIGHT:
            raise ConfigError(f"--state: in-flight can't be listed: it means {UNSEEN}")
        found: list[JobRow] = []
        for each in (JobState.READY, JobState.DELAYED, JobState.DEAD) if state is None else (state,):
            left = limit - len(found)
            if left > 0:
                found += await self._guarded(self._list(queues, queue, each, left))
        # Where nobody said where the API is, it may be out of reach, which takes seconds to find out.
        if queue is None and (self.management_url is not None or not found):
            with suppress(SourceUnavailable, ConfigError):
                self._others = await others(management(self.endpoint, self.management_url), queues)
        return found

    async def show(self, job_id: int) -> JobDetails | None:
        """Everything known of a job, None when there is no trace of it, or when it is ready or in flight."""
        return await self._guarded(details(self.desk, job_id))

    async def retry(self, job_id: int) -> Change:
        """Makes a dead, delayed or ended job ready now; a dead or ended one starts again with all its retries."""
        return await self._guarded(Changes(self.desk).retry(job_id))

    async def cancel(self, job_id: int) -> Change:
        """Takes an unfinished job away; a runner that has it is told to cut its handler off."""
        return await self._guarded(Changes(self.desk).cancel(job_id))

    async def dead(self, wanted: DeadFilter) -> list[DeadJob]:
        """Dead letters, newest first. Raises ConfigError for an unknown queue."""
        return await self._guarded(Letters(self.desk).newest(wanted))

    async def dead_count(self, wanted: DeadFilter) -> int:
        """How many dead letters match. Raises ConfigError for an unknown queue."""
        return await self._guarded(Letters(self.desk).count(wanted))

    async def redrive(self, wanted: DeadFilter, progress: Progress = untold) -> int:
        """Makes dead letters ready again: same id, payload, headers and priority, no attempt and no crash on record."""
        return await self._guarded(Letters(self.desk).redrive(wanted, progress))

    async def drop(self, wanted: DeadFilter, progress: Progress = untold) -> int:
        """Deletes dead letters for good; ``progress`` as for ``redrive``."""
        return await self._guarded(Letters(self.desk).drop(wanted, progress))

    async def _guarded(self, work: Awaitable[T]) -> T:
        """Turns what the broker refuses into SourceError."""
        with translated(self.endpoint):
            return await work

    async def _list(self, queues: list[str], queue: str | None, state: JobState, limit: int) -> list[JobRow]:
        if state is JobState.READY:
            return await ready_rows(self.desk, queues, limit)
        if state is JobState.DELAYED:
            return await delayed_rows(self.desk, queue, limit)
        if state is JobState.DEAD:
            return [_dead_row(it) for it in await Letters(self.desk).newest(DeadFilter(queue, limit=limit))]
        return await ended_rows(self.desk, queue, state, limit)


def _dead_row(it: DeadJob) -> JobRow:
    note = f"{it.reason}: {it.error}"
    return JobRow(it.id, it.queue, JobState.DEAD, it.priority, it.retries, it.crashes, it.died_at, note=note)
