"""What a runner does about its leases and queues besides claiming: one turn at a time, with an injected clock."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg

from workerpool.sources.base import Job
from workerpool.sources.postgres.connection import Connection
from workerpool.sources.postgres.encoding import columns

log = logging.getLogger("workerpool.postgres")

HEARTBEAT = 5.0
"""Seconds between two reports of a runner about itself."""
REPORT = 1.0
"""Seconds between two reports of counts."""
MAINTENANCE = 3600.0
"""Seconds between two upkeep runs."""
FIRST_MAINTENANCE = 5.0
"""Seconds from a runner's start to its first: a burst of new runners has work to do first."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this runner is, for the table of runners. A boot is one process life: pod names come back, boots don't."""

    boot: UUID
    name: str
    host: str
    pid: int
    version: str


@dataclass(slots=True)
class Lease:
    """Seconds that a claim is good for, and the clock (monotonic seconds) that this runner measures it with.

    ``margin``: seconds before the end at which a job that could not be renewed is given up.
    """

    seconds: float
    clock: Callable[[], float]

    @property
    def margin(self) -> float:
        """A tenth of the lease: handlers get that long to notice."""
        return self.seconds / 10

    @property
    def interval(self) -> timedelta:
        """As Postgres takes it."""
        return timedelta(seconds=self.seconds)


@dataclass(slots=True)
class Counts:
    """What finished on one queue since the last report; ``timed`` attempts ran for ``busy`` seconds in all."""

    completed: int = 0
    failed: int = 0
    dead: int = 0
    timed: int = 0
    busy: float = 0.0

    def add(self, other: "Counts") -> None:
        """Adds another report to this one."""
        self.completed += other.completed
        self.failed += other.failed
        self.dead += other.dead
        self.timed += other.timed
        self.busy += other.busy


@dataclass(slots=True)
class Upkeep:
    """The state of the control thread; every method runs in it except ``leased``, ``settled`` and ``count``."""

    identity: Identity
    lease: Lease
    held: Callable[[], Sequence[Job]]
    retention: timedelta = timedelta(days=7)
    queues: dict[int, str] = field(default_factory=dict)
    slots: int = 0
    moved: bool = False
    _until: dict[tuple[int, int], float] = field(default_factory=dict)
    _counts: dict[int, Counts] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _fenced: list[Job] = field(default_factory=list)
    _next: dict[str, float] = field(default_factory=dict)
    _told_busy: bool = False
    _trouble: str = ""

    def leased(self, jobs: Sequence[Job], since: float) -> None:
        """These jobs are ours until ``since`` (when the claim was sent) plus one lease."""
        until = since + self.lease.seconds
        self._until.update(dict.fromkeys([_key(job) for job in jobs], until))

    def settled(self, jobs: Sequence[Job]) -> None:
        """These jobs are nobody's of ours any more."""
        for job in jobs:
            self._until.pop(_key(job), None)

    def count(self, queue_id: int, counts: Counts) -> None:
        """Adds to the next report."""
        with self._counting:
            self._counts.setdefault(queue_id, Counts()).add(counts)

    def promote_soon(self) -> None:
        """Somebody enqueued: perhaps a delayed job."""
        self._next["promote"] = 0.0

    def failed(self, error: Exception) -> None:
        """Says once that the database can't be used."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("Lost the queue's database, trying again: %s", error)

    def guard(self) -> None:
        """Gives up what could not be renewed; called more often than once per ``lease.margin``."""
        self._fence_overdue(self.lease.clock())

    def take_fenced(self) -> list[Job]:
        """Jobs given up since the last call."""
        fenced, self._fenced = self._fenced, []
        return fenced

    async def turn(self, connection: Connection) -> float:
        """Does whatever is due; returns the seconds until something else may be."""
        now = self.lease.clock()
        if self._trouble:
            log.info("The queue's database is back")
            self._trouble = ""
        await self._renew(connection, now)
        self.moved = False
        if self._due("promote", now, 1.0):
            await self._promote(connection, now)
        if self._due("report", now, REPORT):
            await self._report(connection)
            if bool(self.held()) != self._told_busy:
                self._next["heartbeat"] = 0.0  # whoever ends idle runners must not wait for this word
        if self._due("heartbeat", now, HEARTBEAT):
            await self._heartbeat(connection)
        renewals = min(1.0, self.lease.seconds / 6)
        return max(0.005, min(renewals, min(self._next.values()) - self.lease.clock()))

    async def farewell(self, connection: Connection) -> None:
        """The last report of a runner that ends in order."""
        await self._report(connection)
        await connection.execute("select workerpool.farewell($1)", self.identity.boot)

    def _due(self, what: str, now: float, period: float) -> bool:
        if self._next.get(what, 0.0) > now:
            return False
        self._next[what] = now + period
        return True

    async def _renew(self, connection: Connection, now: float) -> None:
        self._fence_overdue(now)  # first: what was given up must not be renewed
        half = self.lease.seconds / 2
        late = sorted(
            (job for job in self.held() if self._until.get(_key(job), now + half) - now < half), key=lambda job: job.id
        )
        if not late:
            return
        lost = set(
            await connection.fetchval(
                "select workerpool.extend($1, $2, $3, $4, $5, $6)",
                self.identity.boot,
                *columns(late),
                self.lease.interval,
            )
        )
        self._fenced += [job for job in late if job.id in lost]
        self.leased([job for job in late if job.id not in lost], now)

    def _fence_overdue(self, now: float) -> None:
        margin = self.lease.margin
        held = self.held()
        overdue = [job for job in held if self._until.get(_key(job), now + margin) - margin < now]
        for job in overdue:
            self._until.pop(_key(job), None)
        self._fenced += overdue
        if len(self._until) > 4 * len(held) + 1000:
            ours = {_key(job) for job in held}
            for key in [one for one in list(self._until) if one not in ours and self._until.get(one, now) < now]:
                self._until.pop(key, None)

    async def _promote(self, connection: Connection, now: float) -> None:
        row = await connection.fetchrow("select * from workerpool.promote($1)", list(self.queues))
        if row is None:
            return
        self.moved = row["moved"] > 0
        if row["next_due"] is not None:
            self._next["promote"] = now + min(1.0, max(0.0, row["next_due"]))

    async def maintain(self, connection: Connection) -> None:
        """The hourly clean-up; may take minutes, so it needs a connection of its own."""
        try:
            await connection.fetch("select * from workerpool.maintain($1)", self.retention)
        except asyncpg.LockNotAvailableError:
            log.warning("Upkeep put off: somebody holds a lock on workerpool.history for long")
        except asyncpg.InsufficientPrivilegeError as error:
            log.warning("Upkeep left to a role that owns the schema: %s", error)

    async def _report(self, connection: Connection) -> None:
        with self._counting:
            counts, self._counts = self._counts, {}
        if counts:
            await connection.executemany(
                "insert into workerpool.stat as s (queue_id, boot, completed, failed, dead, timed, busy_ms) "
                "values ($1, $2, $3, $4, $5, $6, $7) on conflict (queue_id, boot) do update set "
                "completed = s.completed + excluded.completed, failed = s.failed + excluded.failed, "
                "dead = s.dead + excluded.dead, timed = s.timed + excluded.timed, "
                "busy_ms = s.busy_ms + excluded.busy_ms",
                [
                    (queue, self.identity.boot, it.completed, it.failed, it.dead, it.timed, round(it.busy * 1000))
                    for queue, it in counts.items()
                ],
            )

    async def _heartbeat(self, connection: Connection) -> None:
        me, busy = self.identity, len(self.held())
        await connection.execute(
            "insert into workerpool.runner (boot, name, host, pid, queues, slots, busy, version) "
            "values ($1, $2, $3, $4, $5, $6, $7, $8) "
            "on conflict (boot) do update set busy = excluded.busy, seen_at = now()",
            me.boot,
            me.name,
            me.host,
            me.pid,
            list(self.queues.values()),
            self.slots,
            busy,
            me.version,
        )
        self._told_busy = busy > 0


def _key(job: Job) -> tuple[int, int]:
    """A job under one claim: the same job may be handed back and claimed again at once."""
    return (job.id, job.handle[1])
