"""The JobSource over Postgres: claims on one connection, settles on a second, leaves the rest to the control thread."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from workerpool.errors import ConfigError, LeaseLost, SourceError, SourceUnavailable
from workerpool.outcome import Completed, DeadLetter, Expired, Retry, Succeeded
from workerpool.sources.base import Job, Settlement, Subscription
from workerpool.sources.postgres import migrate
from workerpool.sources.postgres.callers import fetch_row, fetch_row_blocking
from workerpool.sources.postgres.connection import Connection, Endpoint, close, translated
from workerpool.sources.postgres.control import ControlThread, Signals
from workerpool.sources.postgres.encoding import Batch, Handle, batch, columns, storable
from workerpool.sources.postgres.line import Line
from workerpool.sources.postgres.upkeep import Counts, Identity, Lease, Upkeep
from workerpool.sources.wiring import Wired
from workerpool_contract.backlog import Backlog

log = logging.getLogger("workerpool.postgres")

BACKLOG_FIELDS = (
    "ready", "in_flight", "delayed", "dead", "truncated", "oldest_age", "next_due", "completed", "failed",
)  # fmt: skip
"""Columns of workerpool.backlog, called like the fields. What else a reading may say is of other engines."""

CANCEL_PREFIX = "!"
"""A notification of this prefix and a job id cancels that job, wherever it runs."""

LAST_CLAIM = 2**31 - 1
"""Claims are numbered from 1 again after this, which the column can hold."""

TIMED = frozenset({Succeeded, Completed, Retry, DeadLetter})
"""Outcomes of an attempt whose handler ran; an expired job never began, an interrupted one is not over."""

CLAIM = "select * from workerpool.claim($1, $2, $3, $4, $5)"
FINISH = "select workerpool.finish($1, $2, $3, $4, $5, $6)"
FINISH_ROUTED = "select workerpool.finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
FINISH_ON = "select workerpool.finish({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})"
FINISH_KINDS = (
    *("uuid", "int[]", "smallint[]", "bigint[]", "int[]", "int[]"),
    *("text[]", "float8[]", "text[]", "text[]", "text[]", "json[]", "bigint[]", "text[]", "json[]"),
)
RELEASE = "select workerpool.release($1, $2, $3, $4, $5)"
DISOWN = "select workerpool.disown($1, $2, $3)"
# A session that was slow or frozen when its answer was given up could still claim after the claim was disowned.
END_BACKEND = (
    "select pg_terminate_backend(pid, 2000) from pg_stat_activity "
    "where pid = $1 and pid <> pg_backend_pid() and application_name = 'workerpool claim'"
)


class _Orphan(NamedTuple):
    """A claim whose answer never came, and the process id of the session that it was sent to."""

    claim: int
    backend: int


@dataclass(slots=True)
class PostgresSource(Wired):
    """Jobs of one database. ``lease``: how long a claim is good for; ``retention``: how long finished jobs are kept."""

    endpoint: Endpoint
    identity: Identity
    lease: Lease
    slots: int = 0
    retention: timedelta = timedelta(days=7)
    _claims: Line = field(init=False)
    _settles: Line = field(init=False)
    _queues: dict[str, int] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _claim_number: int = 0
    _orphaned: list[_Orphan] = field(default_factory=list)
    _connected: bool = False
    _control: ControlThread | None = None
    _upkeep: Upkeep | None = None

    def __post_init__(self) -> None:
        """Lines are lazy: nothing connects before ``open``."""
        # A claim that the server forgets in a crash leaves the job claimable, which at-least-once allows.
        self._claims = Line(self.endpoint, "claim", flush=False, notified=self._notified)
        self._settles = Line(self.endpoint, "settle")

    async def open(self, subscriptions: Sequence[Subscription], held: Callable[[], Sequence[Job]]) -> None:
        """Checks the schema, registers the queues, starts the control thread.

        Raises SchemaError, ConfigError, SourceUnavailable.
        """
        connection = await self._settles.ready()
        async with translated(self.endpoint):
            migrate.require(await migrate.state(connection), self.endpoint.url)
            for each in subscriptions:
                number = await connection.fetchval("select workerpool.subscribe($1, $2)", each.topic, each.queue)
                self._queues[each.queue] = number
                self._names[number] = each.queue
        await self._claims.ready()
        self._connected = True
        self._upkeep = Upkeep(
            self.identity, self.lease, held, retention=self.retention, queues=self._names, slots=self.slots
        )
        loop = asyncio.get_running_loop()
        signals = Signals(
            wake=lambda: _threadsafe(loop, self._woken.set),
            fenced=lambda jobs: _threadsafe(loop, lambda: self._on_fenced(jobs)),
            connected=lambda: _threadsafe(loop, self._note_connected),
            lost=lambda: _threadsafe(loop, self._note_lost),
        )
        self._control = ControlThread(self.endpoint, self._upkeep, signals)
        self._control.start()
        await self._control.connected()

    async def claim(self, wants: Mapping[str, int]) -> list[Job]:
        """At most ``wants[queue]`` jobs of each queue, under a lease that began when this call was made."""
        if self._orphaned:
            await self._disown()
        self._claim_number = number = self._claim_number % LAST_CLAIM + 1
        since = self.lease.clock()
        queues = [self._queues[queue] for queue in wants]
        async with self._claims.exchange() as connection:
            backend = connection.get_server_pid()
            try:
                rows = await connection.fetch(
                    CLAIM, self.identity.boot, number, queues, list(wants.values()), self.lease.interval
                )
            except BaseException:
                # The server may have claimed and the answer been lost: hand those back before they look like a crash.
                self._orphaned.append(_Orphan(number, backend))
                raise
        if not rows:
            return []
        handles = {queue: Handle(queue, number) for queue in queues}
        names = self._names
        jobs = [
            Job(names[q], id_, attempts, crashes, priority, payload, headers, waited, expired, handles[q])
            for q, id_, attempts, crashes, priority, payload, headers, waited, expired in rows
        ]
        self._must_upkeep().leased(jobs, since)
        return jobs

    async def wait(self, timeout: float) -> bool:
        """Until a notification, a promotion or a reconnection, or until the timeout."""
        return await self._woken_or_due(timeout)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Job]:
        """Finishes and releases; returns the jobs whose lease was lost. Repeating it all after a failure does no harm.

        Two transactions: each locks its rows in the order of their ids, so that two runners never wait for each other.
        """
        work = batch(settlements)
        stale: set[int] = set()
        async with self._settles.exchange() as connection:
            if work.finished:
                stale |= await self._finish(connection, work)
            if work.released:
                stale |= await self._release(connection, work.released)
        self._after(settlements, stale)
        return [it.job for it in settlements if it.job.id in stale] if stale else []

    async def mark(self, job: Job) -> bool:
        """Marks a job that crashed before as about to start."""
        row = await self._must_control().call(
            lambda connection: connection.fetchval(
                "select workerpool.mark($1, $2, $3, $4, $5)", self.identity.boot, *_address(job)
            )
        )
        return bool(row)

    async def progress(self, job: Job, state: str, percent: int | None, data: str | None) -> None:
        """Records an event. Raises LeaseLost, SourceUnavailable."""
        held = await self._must_control().call(
            lambda connection: connection.fetchval(
                "select workerpool.progress($1, $2, $3, $4, $5, $6, $7, $8)",
                self.identity.boot,
                *_address(job),
                storable(state),
                percent,
                data,
            )
        )
        if not held:
            raise _lost(job)

    async def backlog(self) -> dict[str, Backlog]:
        """One reading per queue of this runner, over the control connection. Raises SourceError."""
        rows = await self._must_control().call(
            lambda connection: connection.fetch("select * from workerpool.backlog($1)", list(self._queues))
        )
        return {row["queue"]: Backlog(**{name: row[name] for name in BACKLOG_FIELDS}) for row in rows}

    async def complete_on(self, connection: Any, settlement: Settlement) -> None:  # noqa: ANN401 - asyncpg's or psycopg's
        """Finishes one job in the caller's transaction. Raises LeaseLost: let it roll the transaction back."""
        row = await fetch_row(connection, FINISH_ON, FINISH_KINDS, self._completion(settlement))
        if row[0]:
            raise _lost(settlement.job)

    def complete_on_blocking(self, connection: Any, settlement: Settlement) -> None:  # noqa: ANN401 - psycopg's
        """As ``complete_on``, from a sync handler's thread on psycopg's sync connection."""
        row = fetch_row_blocking(connection, FINISH_ON, FINISH_KINDS, self._completion(settlement))
        if row[0]:
            raise _lost(settlement.job)

    async def retire(self) -> None:
        """Nothing is taken ahead."""

    async def close(self) -> None:
        """Hands back claims whose answer was lost, stops the control thread and closes the connections."""
        if self._orphaned:
            with suppress(SourceError, ConfigError):
                await self._disown()
        if self._control is not None:
            await self._control.stop()
        await close(self._claims.connection)
        await close(self._settles.connection)

    @property
    def connected(self) -> bool:
        """Whether the control thread, which talks to the server all the time, reaches it."""
        return self._connected

    @property
    def detail(self) -> str:
        """The doctor tells more than there is to say here."""
        return ""

    @property
    def deaf(self) -> bool:
        """Nothing is delivered, jobs are asked for."""
        return False

    def _completion(self, settlement: Settlement) -> Sequence[object]:
        # From now on the row is locked by the caller's transaction: renewing its lease would wait for that.
        self._must_upkeep().settled([settlement.job])
        work = batch([settlement])
        return (self.identity.boot, *columns(work.finished), work.milliseconds, *(work.extras or [None] * 9))

    async def _disown(self) -> None:
        async with self._claims.exchange() as connection:
            for orphan in list(self._orphaned):
                if not self.endpoint.pooled:
                    await connection.execute(END_BACKEND, orphan.backend)
                await connection.execute(DISOWN, self.identity.boot, orphan.claim, list(self._names), timeout=60)
                self._orphaned.remove(orphan)

    async def _finish(self, connection: Connection, work: Batch) -> set[int]:
        base = (self.identity.boot, *columns(work.finished), work.milliseconds)
        if work.extras is None:
            return set(await connection.fetchval(FINISH, *base))
        return set(await connection.fetchval(FINISH_ROUTED, *base, *work.extras))

    async def _release(self, connection: Connection, jobs: Sequence[Job]) -> set[int]:
        return set(await connection.fetchval(RELEASE, self.identity.boot, *columns(jobs)))

    def _after(self, settlements: Sequence[Settlement], stale: set[int]) -> None:
        upkeep = self._must_upkeep()
        upkeep.settled([it.job for it in settlements])
        totals: dict[int, Counts] = {}
        for job, outcome, duration, _ in settlements:
            if stale and job.id in stale:
                continue
            counts = totals.get(job.handle[0])
            if counts is None:
                counts = totals[job.handle[0]] = Counts()
            kind = type(outcome)
            if kind is Succeeded or kind is Completed:
                counts.completed += 1
            elif kind is Retry:
                counts.failed += 1
            elif kind is DeadLetter or kind is Expired:
                counts.failed += 1
                counts.dead += 1
            if kind in TIMED:
                counts.timed += 1
                counts.busy += duration
        for queue_id, counts in totals.items():
            upkeep.count(queue_id, counts)

    def _notified(self, payload: str) -> None:
        """A notification: a queue has work, or ``!ID`` cancels that job. Runs in the main loop."""
        if not payload.startswith(CANCEL_PREFIX):
            self._woken.set()
            if self._control is not None:
                self._control.promote_soon()
        elif self._upkeep is not None and payload[1:].isdigit():
            self._on_cancelled([job for job in self._upkeep.held() if job.id == int(payload[1:])])

    def _note_connected(self) -> None:
        self._connected = True

    def _note_lost(self) -> None:
        self._connected = False

    def _must_upkeep(self) -> Upkeep:
        if self._upkeep is None:
            msg = "the source is not open"
            raise SourceUnavailable(msg)
        return self._upkeep

    def _must_control(self) -> ControlThread:
        if self._control is None:
            msg = "the source is not open"
            raise SourceUnavailable(msg)
        return self._control


def _address(job: Job) -> tuple[int, int, int, int]:
    return (job.handle[0], job.priority, job.id, job.handle[1])


def _lost(job: Job) -> LeaseLost:
    return LeaseLost(f"job {job.id} of {job.queue} belongs to another runner now")


def _threadsafe(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
