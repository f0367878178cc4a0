"""Unfinished jobs on a broker that nobody holds: those in lanes, and those in the ladder of waits.

Looking means taking, and giving back counts as a delivery in vain on most brokers: `admin_returns` sees to it that it
brings no job nearer to its end.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from workerpool.sources.administration import JobRow, JobState
from workerpool.sources.rabbitmq.admin_desk import Desk, moment, stable_id
from workerpool.sources.rabbitmq.admin_returns import give_back
from workerpool.sources.rabbitmq.browsing import WINDOW, Browser
from workerpool.sources.rabbitmq.envelope import Envelope, Invalid
from workerpool.sources.rabbitmq.messages import Arrival, job_of
from workerpool.sources.rabbitmq.rounds import looking
from workerpool_contract.rabbitmq import WAITING, lanes

DEPTH: Final = 10_000
"""Messages of a queue that are looked through at most."""

Wanted = Callable[[Envelope], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """A job where it lies, held as long as its ``browser`` is open."""

    browser: Browser
    arrival: Arrival
    job: Envelope

    async def remove(self) -> None:
        """It is settled. Raises SourceUnavailable."""
        await self.browser.acknowledge([self.arrival])


async def ready_rows(desk: Desk, queues: Sequence[str], limit: int) -> list[JobRow]:
    """The jobs that come next, at most ``limit``. Raises SourceUnavailable, SourceError."""
    rows: list[JobRow] = []
    for queue in queues:
        for name in _lanes(desk, queue):
            async with desk.looking(queue, name) as browser:
                held = await browser.take(min(limit - len(rows), WINDOW)) if len(rows) < limit else []
                while held:
                    rows += [_row(desk, job_of(it, desk.wall(), _id(it))) for it in held]
                    await give_back(desk, browser, held)
                    held = await browser.take(min(limit - len(rows), WINDOW)) if len(rows) < limit else []
    return rows


async def delayed_rows(desk: Desk, queue: str | None, limit: int) -> list[JobRow]:
    """The jobs that are due next, at most ``limit``. Raises SourceUnavailable, SourceError."""
    # By id: a job that moves on meanwhile is seen twice.
    rows: dict[int, JobRow] = {}
    for name in WAITING:
        async with looking(desk.link, name) as browser:
            seen = 0
            while seen < DEPTH and (batch := await browser.take()):
                seen += len(batch)
                jobs = [_waiting(desk, it) for it in batch]
                found = [_row(desk, it) for it in jobs if queue is None or _envelope(it).queue == queue]
                rows |= {row.id: row for row in found}
    return sorted(rows.values(), key=lambda row: (row.due or row.since, row.id))[:limit]


@asynccontextmanager
async def waiting_job(desk: Desk, wanted: Wanted) -> AsyncIterator[Place | None]:
    """The first job that waits, for its time or for its lane, and is ``wanted``.

    Raises SourceUnavailable, SourceError.
    """
    for name in WAITING:
        async with looking(desk.link, name) as browser:
            seen = 0
            while seen < DEPTH and (batch := await browser.take()):
                seen += len(batch)
                for it in batch:
                    job = _envelope(_waiting(desk, it))
                    if wanted(job):
                        yield Place(browser, it, job)
                        return
    yield None


@asynccontextmanager
async def ready_job(desk: Desk, queues: Sequence[str], wanted: Wanted) -> AsyncIterator[Place | None]:
    """The first job in a lane of ``queues`` that is ``wanted``. Raises SourceUnavailable, SourceError."""
    for queue in queues:
        for name in _lanes(desk, queue):
            async with desk.looking(queue, name) as browser:
                seen = 0
                while seen < DEPTH and (batch := await browser.take()):
                    seen += len(batch)
                    found = next((it for it in batch if wanted(_envelope(job_of(it, desk.wall(), _id(it))))), None)
                    await give_back(desk, browser, [it for it in batch if it is not found])
                    if found is not None:
                        yield Place(browser, found, _envelope(job_of(found, desk.wall(), _id(found))))
                        return
    yield None


def _lanes(desk: Desk, queue: str) -> Sequence[str]:
    """A foreign queue has none but itself: what is called like one may be anything."""
    return lanes(queue) if desk.is_ours(queue) else (queue,)


def _waiting(desk: Desk, it: Arrival) -> Envelope | Invalid:
    """The job in a message of a wait queue; its routing key says where it belongs."""
    there = it._replace(queue=desk.queue_of(it.routing_key), exchange="")
    return job_of(there, desk.wall(), _id(there))


def _id(it: Arrival) -> Callable[[], int]:
    return lambda: stable_id(it)


def _envelope(job: Envelope | Invalid) -> Envelope:
    return job.envelope if isinstance(job, Invalid) else job


def _row(desk: Desk, found: Envelope | Invalid) -> JobRow:
    job = _envelope(found)
    late = job.due is not None and job.due > desk.wall() * 1000
    return JobRow(
        id=job.id,
        queue=job.queue,
        state=JobState.DELAYED if late else JobState.READY,
        priority=job.priority,
        attempts=job.attempts,
        crashes=job.crashes,
        since=desk.made(job) if late else moment(job.enqueued),
        due=moment(job.due) if late and job.due is not None else None,
        note=f"the payload {found.why}" if isinstance(found, Invalid) else None,
    )
