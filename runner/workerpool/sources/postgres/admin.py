"""Looking at jobs and dead letters of a Postgres queue, and putting them right: retry, cancel, redrive, drop.

Every change is one transaction whose statements say which state they expect; a job that moved meanwhile is looked up
again. So none of them can revive a job that a runner has just finished, or lose one that has just been promoted.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import asyncpg

from workerpool.errors import ConfigError, SourceError
from workerpool.sources.administration import (
    UNFINISHED,
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
from workerpool.sources.postgres import admin_sql as sql
from workerpool.sources.postgres import migrate
from workerpool.sources.postgres.admin_show import details
from workerpool.sources.postgres.admin_topics import subscriptions, unsubscribe
from workerpool.sources.postgres.connection import Connection, Endpoint, close, connect, translated
from workerpool.sources.postgres.source import CANCEL_PREFIX

LOOKS = 5
"""How often a job that moves under our hands is looked up again before we give up."""
BATCH = 1000
"""Dead letters per transaction."""
STATEMENT_SECONDS = 60.0
PLACES = ("hot", "delayed", "dead", "history")
"""Where a job can be. One that ran again is in the history too, so the history counts last."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a job was found: which table, and what is needed to address its row there."""

    table: str
    queue_id: int
    queue: str
    priority: int
    state: JobState


@dataclass(slots=True)
class PostgresAdmin:
    """Administration over one connection; ``async with`` opens and closes it.

    All methods raise SourceUnavailable and SourceError; opening raises SchemaError and ConfigError too.
    """

    endpoint: Endpoint
    _connection: Connection | None = None

    async def __aenter__(self) -> Self:
        """Connects and checks the schema."""
        self._connection = await connect(replace(self.endpoint, timeout=STATEMENT_SECONDS), role="admin")
        try:
            async with translated(self.endpoint), self._connection.transaction():
                migrate.require(await migrate.state(self._connection), self.endpoint.url)
        except BaseException:
            await close(self._connection)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Gives the connection back."""
        await close(self._connection)

    @property
    def unseen(self) -> str | None:
        """Every state can be listed."""
        return None

    async def topics(self) -> list[TopicQueue]:
        """Which queues get copies of which topics."""
        async with self._transaction() as connection:
            return await subscriptions(connection)

    async def unsubscribe(self, topic: str, queue: str) -> TopicQueue:
        """Ends a subscription; raises ConfigError when there is none, SourceError while a runner consumes the queue."""
        async with self._transaction() as connection:
            return await unsubscribe(connection, topic, queue)

    async def jobs(self, queue: str | None, state: JobState | None, limit: int) -> list[JobRow]:
        """At most ``limit`` jobs in the order in which they come up; without a state those that are not finished.

        Raises ConfigError for an unknown queue.
        """
        states = UNFINISHED if state is None else (state,)
        async with self._transaction() as connection:
            await _queue_id(connection, queue)
            found: list[JobRow] = []
            for each in states:
                if len(found) < limit:
                    found += await _list(connection, queue, each, limit - len(found))
            return found

    async def show(self, job_id: int) -> JobDetails | None:
        """Everything known of a job, None when there is no trace of it."""
        async with self._transaction(isolation="repeatable_read") as connection:
            return await details(connection, job_id)

    async def retry(self, job_id: int) -> Change:
        """Makes a dead, delayed or ended job ready now; a dead or ended one starts again with all its retries."""
        return await self._change(job_id, _retry)

    async def cancel(self, job_id: int) -> Change:
        """Takes an unfinished job away; a runner that has it is told to cut its handler off."""
        return await self._change(job_id, _cancel)

    async def dead(self, wanted: DeadFilter) -> list[DeadJob]:
        """Dead letters, newest first. Raises ConfigError for an unknown queue."""
        async with self._transaction() as connection:
            rows = await connection.fetch(sql.DEAD_ROWS, *await _match(connection, wanted), wanted.limit)
            return [_dead_job(row) for row in rows]

    async def dead_count(self, wanted: DeadFilter) -> int:
        """How many dead letters match. Raises ConfigError for an unknown queue."""
        async with self._transaction() as connection:
            return int(await connection.fetchval(sql.DEAD_COUNT, *await _match(connection, wanted), wanted.limit))

    async def redrive(self, wanted: DeadFilter, progress: Progress = untold) -> int:
        """Makes dead letters ready again: same id, payload, headers and priority, no attempt and no crash on record.

        Those that die again meanwhile stay dead. ``progress`` is told the size of each committed batch.
        """
        return await self._in_batches(wanted, sql.REDRIVE, progress)

    async def drop(self, wanted: DeadFilter, progress: Progress = untold) -> int:
        """Deletes dead letters for good; ``progress`` as for ``redrive``."""
        return await self._in_batches(wanted, sql.DROP, progress)

    async def _in_batches(self, wanted: DeadFilter, statement: str, progress: Progress) -> int:
        async with self._transaction() as connection:
            matching = await _match(connection, wanted)
        done = 0
        while wanted.limit is None or done < wanted.limit:
            size = BATCH if wanted.limit is None else min(BATCH, wanted.limit - done)
            async with self._transaction() as connection:
                rows = await connection.fetch(statement, *matching, size)
                for queue in {row["queue"] for row in rows if "queue" in row}:
                    await connection.execute(sql.NOTIFY, queue)
            if not rows:
                break
            done += len(rows)
            progress(len(rows))
        return done

    async def _change(self, job_id: int, act: "_Act") -> Change:
        async with self._transaction() as connection:
            await connection.execute(sql.LOCK, job_id)
            for _ in range(LOOKS):
                place = await _locate(connection, job_id)
                if place is None:
                    return Change(job_id, None, changed=False, note="no such job, or its history has been cleaned up")
                change = await act(connection, job_id, place)
                if change is not None:
                    return change
        raise SourceError(f"job {job_id} moves on faster than it can be changed; try again")

    @asynccontextmanager
    async def _transaction(self, isolation: str = "read_committed") -> AsyncIterator[Connection]:
        if self._connection is None:
            msg = "PostgresAdmin is used inside `async with`"
            raise RuntimeError(msg)
        level: Any = isolation
        async with translated(self.endpoint), self._connection.transaction(isolation=level):
            for pin in sql.PIN:
                await self._connection.execute(pin)
            yield self._connection


_Act = Callable[[Connection, int, _Place], Awaitable[Change | None]]


async def _queue_id(connection: Connection, queue: str | None) -> int | None:
    if queue is None:
        return None
    found = await connection.fetchval("select id from workerpool.queue where name = $1", queue)
    if found is None:
        names = [
            row["name"] for row in await connection.fetch("select name from workerpool.queue order by name limit 20")
        ]
        known = ", ".join(names) or "none yet"
        raise ConfigError(f"queue: {queue!r} is not known here; queues of this database: {known}")
    return int(found)


async def _list(connection: Connection, queue: str | None, state: JobState, limit: int) -> list[JobRow]:
    if state in (JobState.READY, JobState.IN_FLIGHT):
        rows = await connection.fetch(sql.LIST_HOT, queue, limit, state is JobState.IN_FLIGHT)
    elif state is JobState.DELAYED:
        rows = await connection.fetch(sql.LIST_DELAYED, queue, limit)
    elif state is JobState.DEAD:
        rows = await connection.fetch(sql.LIST_DEAD, queue, limit)
    else:
        rows = await connection.fetch(sql.LIST_ENDED, queue, limit, state)
    return [
        JobRow(
            row["id"], row["queue"], state, row["priority"], row["attempts"], row["crashes"], row["since"], row["due"],
            row["note"],
        )
        for row in rows
    ]  # fmt: skip


async def _locate(connection: Connection, job_id: int) -> _Place | None:
    rows = await connection.fetch(sql.LOCATE, job_id)
    if not rows:
        return None
    row = min(rows, key=lambda row: PLACES.index(row["place"]))
    if row["place"] == "hot":
        state = JobState.IN_FLIGHT if row["in_flight"] else JobState.READY
    else:
        state = JobState(row["state"] if row["place"] == "history" else row["place"])
    return _Place(row["place"], row["queue_id"], row["queue"], row["priority"], state)


async def _retry(connection: Connection, job_id: int, place: _Place) -> Change | None:
    """None: the job has moved since it was looked up."""
    if place.table == "hot":
        note = "a runner works on it" if place.state is JobState.IN_FLIGHT else "it is ready already"
        return Change(job_id, place.state, changed=False, note=note)
    if place.table == "delayed":
        done = await connection.fetchval(sql.RETRY_DELAYED, place.queue_id, job_id)
    elif place.table == "dead":
        done = await connection.fetchval(sql.REDRIVE, *await _match(connection, DeadFilter(ids=(job_id,))), 1)
    else:
        done = await connection.fetchval(sql.RETRY_ENDED, job_id)
        if done is None:
            return Change(job_id, place.state, changed=False, note="its payload was not kept")
    if done is None:
        return None
    await connection.execute(sql.NOTIFY, place.queue)
    return Change(job_id, place.state, changed=True, note="ready")


async def _cancel(connection: Connection, job_id: int, place: _Place) -> Change | None:
    """None: the job has moved since it was looked up."""
    if place.table == "dead":
        return Change(job_id, place.state, changed=False, note="it is dead: use `workerpool dlq drop`")
    if place.table == "history":
        return Change(job_id, place.state, changed=False, note=f"it is {place.state} already")
    if place.table == "delayed":
        held = await connection.fetchval(sql.CANCEL_DELAYED, place.queue_id, job_id)
    else:
        held = await connection.fetchval(sql.CANCEL_HOT, place.queue_id, place.priority, job_id)
    if held is None:
        return None
    if held:
        await connection.execute(sql.NOTIFY, f"{CANCEL_PREFIX}{job_id}")
        return Change(job_id, JobState.IN_FLIGHT, changed=True, note="cancelled; its runner cuts the handler off")
    return Change(job_id, place.state, changed=True, note="cancelled")


async def _match(connection: Connection, wanted: DeadFilter) -> Sequence[Any]:
    """The parameters of every dead-letter statement but the last (the limit); the moment is that of the first look."""
    queue = await _queue_id(connection, wanted.queue)
    now = await connection.fetchval("select clock_timestamp()")
    return (queue, list(wanted.ids) or None, wanted.reason, wanted.forwarded, now)


def _dead_job(row: asyncpg.Record) -> DeadJob:
    return DeadJob(
        id=row["id"],
        queue=row["queue"],
        died_at=row["died_at"],
        enqueued_at=row["enqueued_at"],
        reason=row["reason"],
        error=row["error"],
        worker=row["worker"],
        priority=row["priority"],
        retries=row["attempts"],
        crashes=row["crashes"],
        forwarded_to=row["forwarded_to"],
        headers=row["headers"],
        payload=row["payload"],
    )
