"""The adapters: memory with a clock of its own, Postgres with its timestamps shifted into the past."""

import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg

from tests.conformance.engine import LEASE, Dead, Event, Finished
from tests.support.waiting import eventually
from workerpool.sources.base import Job, JobSource, Publisher
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemoryPublisher, MemorySource
from workerpool.sources.postgres.admin import PostgresAdmin
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.publisher import PostgresPublisher
from workerpool.sources.postgres.source import PostgresSource
from workerpool.sources.postgres.upkeep import Identity, Lease
from workerpool_contract.backlog import Backlog


@dataclass
class _StallableMemorySource(MemorySource):
    is_stalled: Callable[[], bool] = field(default=lambda: False)

    def holding(self) -> Any:
        return () if self.is_stalled() else self._held()


class MemoryAdapter:
    """The engine of ``TestBroker``."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._engine = MemoryEngine(lambda: self._now)

    def source(self, stalled: Callable[[], bool]) -> JobSource:
        return _StallableMemorySource(self._engine, LEASE, is_stalled=stalled)

    def publisher(self) -> Publisher:
        return MemoryPublisher(self._engine)

    async def advance(self, seconds: float) -> None:
        self._now += seconds

    async def renewed(self) -> None:
        self._engine.backlog("orders")

    async def backlog(self, queue: str) -> Backlog:
        return self._engine.backlog(queue)

    async def dead(self, queue: str) -> list[Dead]:
        return [
            Dead(it.id, it.reason, it.error, it.worker, it.priority, it.attempts, it.crashes, it.payload, it.headers)
            for it in self._engine.dead.values()
            if it.queue == queue
        ]

    async def finished(self, queue: str) -> list[Finished]:
        lines = sorted((it for it in self._engine.history if it.queue == queue), key=lambda it: it.id)
        return [Finished(it.id, it.state, it.attempts, it.error, it.result) for it in lines]

    async def events(self, job: Job) -> list[Event]:
        found = [it for it in self._engine.events if it.job_id == job.id]
        return [Event(it.attempt, it.state, it.percent, it.data) for it in found]

    async def cancel(self, job_id: int) -> bool:
        return self._engine.cancel(job_id)

    async def expire(self) -> None:
        self._engine.expire()


SHIFT = """
with shifted as (
  update workerpool.delayed set due_at = due_at - $1::interval, enqueued_at = enqueued_at - $1::interval,
    expires_at = expires_at - $1::interval
)
update workerpool.job set enqueued_at = enqueued_at - $1::interval, available_at = available_at - $1::interval,
  expires_at = expires_at - $1::interval, lease_until = lease_until - $1::interval
"""
"""Time passes: every timestamp of an unfinished job moves into the past."""


@dataclass
class PostgresAdapter:
    """One database. ``url``: what sources and publishers use. ``admin``: a connection straight to the server."""

    url: str
    admin: "asyncpg.Connection[asyncpg.Record]"
    pooled: bool = False
    _skipped: float = 0.0
    _boots: dict[Any, Callable[[], bool]] = field(default_factory=dict)
    _names: "itertools.count[int]" = field(default_factory=itertools.count)

    def source(self, stalled: Callable[[], bool]) -> JobSource:
        boot = uuid4()
        self._boots[boot] = stalled
        identity = Identity(boot, f"runner-{next(self._names)}", "localhost", 1, "0")
        source = PostgresSource(Endpoint(self.url, pooled=self.pooled), identity, Lease(LEASE, self._clock), slots=10)
        return _Stallable(source, stalled)

    def publisher(self) -> Publisher:
        return PostgresPublisher(Endpoint(self.url, pooled=self.pooled))

    async def advance(self, seconds: float) -> None:
        self._skipped += seconds
        await self.admin.execute(SHIFT, timedelta(seconds=seconds))

    async def renewed(self) -> None:
        async def fresh() -> bool:
            alive = [boot for boot, stalled in self._boots.items() if not stalled()]
            late = await self.admin.fetchval(
                "select count(*) from workerpool.job where boot = any ($1) and lease_until < now() + $2",
                alive,
                timedelta(seconds=LEASE * 0.6),
            )
            return bool(late == 0)

        await eventually(fresh, "the renewal of every lease")

    async def backlog(self, queue: str) -> Backlog:
        row = await self.admin.fetchrow(
            "select ready, in_flight, delayed, dead, truncated, oldest_age, next_due, completed, failed "
            "from workerpool.backlog(array[$1])",
            queue,
        )
        assert row is not None
        return Backlog(**dict(row))

    async def dead(self, queue: str) -> list[Dead]:
        rows = await self.admin.fetch(
            "select d.id, reason, error, worker, priority, attempts, crashes, payload, headers "
            "from workerpool.dead d join workerpool.queue q on q.id = queue_id where name = $1 order by died_at, d.id",
            queue,
        )
        return [Dead(*row) for row in rows]

    async def finished(self, queue: str) -> list[Finished]:
        rows = await self.admin.fetch(
            "select h.id, state, attempts, error, result from workerpool.history h "
            "join workerpool.queue q on q.id = h.queue_id where q.name = $1 order by h.id",
            queue,
        )
        return [Finished(*row) for row in rows]

    async def events(self, job: Job) -> list[Event]:
        rows = await self.admin.fetch(
            "select attempt, state, progress, data from workerpool.event where job_id = $1 order by at", job.id
        )
        return [Event(*row) for row in rows]

    async def cancel(self, job_id: int) -> bool:
        async with PostgresAdmin(Endpoint(self.url, pooled=self.pooled)) as admin:
            return (await admin.cancel(job_id)).changed

    async def expire(self) -> None:
        await self.admin.fetch("select * from workerpool.maintain(p_every => '0')")

    def _clock(self) -> float:
        return time.monotonic() + self._skipped


class _Stallable:
    """A source whose renewals stop when the test says so."""

    def __init__(self, source: PostgresSource, stalled: Callable[[], bool]) -> None:
        self._source = source
        self._stalled = stalled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def open(self, subscriptions: Any, held: Callable[[], Any]) -> None:
        await self._source.open(subscriptions, lambda: () if self._stalled() else held())


@asynccontextmanager
async def postgres(url: str, admin_url: str | None = None, *, pooled: bool = False) -> AsyncIterator[PostgresAdapter]:
    """An adapter for a migrated database."""
    admin = await asyncpg.connect(admin_url or url)
    try:
        yield PostgresAdapter(url, admin, pooled)
    finally:
        await admin.close()
