"""What a queue engine must let the conformance suite do; a new engine brings one adapter and runs every test unchanged.

The adapter hides how an engine's time passes (a fake clock, shifted timestamps, real waiting) and where it keeps what
became of jobs.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tests.support.waiting import DEADLINE
from workerpool.outcome import SUCCEEDED, Outcome
from workerpool.sources.base import Enqueued, Job, JobSource, NewJob, Publisher, Settlement, Subscription
from workerpool_contract.backlog import Backlog

LEASE = 30.0
"""Seconds that a claim is good for in these tests."""
WORKER = "certify"


class Dead(NamedTuple):
    """A dead letter as kept by the engine."""

    id: int
    reason: str
    error: str
    worker: str
    priority: int
    attempts: int
    crashes: int
    payload: str
    headers: str | None


class Finished(NamedTuple):
    """A line of the history. ``state``: completed, dead, expired or cancelled."""

    id: int
    state: str
    attempts: int
    error: str | None
    result: str | None


class Event(NamedTuple):
    """A progress event. ``attempt`` counts from 1; ``data`` is JSON text."""

    attempt: int
    state: str
    percent: int | None
    data: str | None


class Engine(Protocol):
    """The adapter of one engine. Everything it made is given back by whoever made the adapter."""

    def source(self, stalled: Callable[[], bool]) -> JobSource:
        """A source with leases of LEASE seconds, not open yet; while ``stalled()`` it renews nothing."""
        ...

    def publisher(self) -> Publisher:
        """A publisher with a connection of its own."""
        ...

    async def advance(self, seconds: float) -> None:
        """At least this much time passes for the engine and for the sources' own clocks."""
        ...

    async def renewed(self) -> None:
        """Until every source that is not stalled has renewed its leases."""
        ...

    async def backlog(self, queue: str) -> Backlog:
        """A reading of one queue."""
        ...

    async def dead(self, queue: str) -> list[Dead]:
        """The dead letters of a queue, oldest first."""
        ...

    async def finished(self, queue: str) -> list[Finished]:
        """The history of a queue, by job id."""
        ...

    async def events(self, job: Job) -> list[Event]:
        """The progress events of a job, oldest first."""
        ...

    async def cancel(self, job_id: int) -> bool:
        """Takes an unfinished job away; False when there is none of this id."""
        ...

    async def expire(self) -> None:
        """Runs the clean-up that takes out what expired unstarted."""
        ...


@dataclass
class Consumer:
    """A runner reduced to its source: it holds what it claimed until that is settled."""

    source: JobSource
    held: dict[int, Job] = field(default_factory=dict)
    fenced: list[Job] = field(default_factory=list)
    cancelled: list[Job] = field(default_factory=list)

    async def claim(self, queue: str = "orders", limit: int = 10) -> list[Job]:
        """Claims from one queue and holds the jobs."""
        jobs = await self.source.claim({queue: limit})
        self.held.update((job.id, job) for job in jobs)
        return jobs

    async def one(self, queue: str = "orders") -> Job:
        """The one job that can be claimed; fails when there are none or more."""
        jobs = await self.claim(queue)
        assert len(jobs) == 1, jobs
        return jobs[0]

    async def soon(self, queue: str = "orders") -> Job:
        """The next job, waiting for it as a runner does."""
        async with asyncio.timeout(DEADLINE):
            while not (jobs := await self.claim(queue, 1)):
                await self.source.wait(1)
        return jobs[0]

    async def settle(self, job: Job, outcome: Outcome = SUCCEEDED, duration: float = 0.5) -> bool:
        """Settles one job; False when the engine says that the lease was lost."""
        self.held.pop(job.id, None)
        return await self.source.settle([Settlement(job, outcome, duration, WORKER)]) == []


@dataclass
class Stage:
    """One engine with the consumers of a test on it."""

    engine: Engine
    _publisher: Publisher | None = None
    _consumers: list[Consumer] = field(default_factory=list)
    _stalled: set[int] = field(default_factory=set)

    async def consumer(self, *queues: str | Subscription) -> Consumer:
        """An open source on these queues (default: orders)."""
        consumer = Consumer(self.engine.source(lambda: id(consumer) in self._stalled))
        consumer.source.on_fenced(consumer.fenced.extend)
        consumer.source.on_cancelled(consumer.cancelled.extend)
        wanted = [it if isinstance(it, Subscription) else Subscription(it, it) for it in queues or ("orders",)]
        await consumer.source.open(wanted, lambda: list(consumer.held.values()))
        self._consumers.append(consumer)
        return consumer

    def stall(self, consumer: Consumer) -> None:
        """It hangs or is cut off: no lease is renewed, and it doesn't know."""
        self._stalled.add(id(consumer))

    def resume(self, consumer: Consumer) -> None:
        """It goes on as if nothing had happened."""
        self._stalled.discard(id(consumer))

    async def lose(self, consumer: Consumer) -> None:
        """It dies with its jobs, and their leases run out."""
        self.stall(consumer)
        await self.engine.advance(LEASE + 1)

    async def send(self, queue: str, *jobs: NewJob | str) -> list[Enqueued]:
        """Enqueues jobs, or plain payloads."""
        if self._publisher is None:
            self._publisher = self.engine.publisher()
        made: Sequence[NewJob] = [NewJob(job) if isinstance(job, str) else job for job in jobs]
        return await self._publisher.enqueue(queue, made)

    async def close(self) -> None:
        """Closes every consumer and the publisher."""
        await asyncio.gather(*(consumer.source.close() for consumer in self._consumers))
        if self._publisher is not None:
            await self._publisher.close()
