"""Enqueueing on Postgres: arrays for what needs ids or options, COPY for bulk, or on the caller's own connection.

A sleeping runner is woken by a notification, at most one per queue, process and 10 ms: NOTIFY takes a lock that all
committing sessions share. The first rides on the enqueue's own commit, those that follow too soon are sent together
afterwards.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from workerpool.errors import SourceError
from workerpool.sources.base import Enqueued, NewJob
from workerpool.sources.postgres import migrate
from workerpool.sources.postgres.callers import copy_rows, fetch_row, fetch_rows, together
from workerpool.sources.postgres.connection import Connection, Endpoint, close, connect, translated
from workerpool_contract.names import SCHEMA

NOTIFY_INTERVAL = 0.01
"""Seconds between two notifications of one process."""
CHUNK = 10_000
"""Jobs per statement."""
COPY_CHUNK = 50_000
"""Jobs per COPY."""
COPY_TIMEOUT = 300.0
"""Seconds that one COPY may take, triggers, slow disks and locked tables included."""
COPIED: tuple[str, ...] = ("queue_id", "payload")

ENQUEUE_MANY = "select * from workerpool.enqueue_many($1, $2, $3, $4, $5, $6, $7, $8)"
ENQUEUE_ONE = "select * from workerpool.enqueue($1, $2, $3, $4, $5, $6, $7, $8)"
ENQUEUE = (
    "select * from workerpool.enqueue(p_queue => {0}, p_payload => {1}, p_priority => {2}, p_delay => {3}, "
    "p_expires_in => {4}, p_unique_key => {5}, p_headers => {6})"
)
ENQUEUE_KINDS = ("text", "json", "smallint", "float8", "float8", "text", "json")
ENQUEUE_ALL = (
    "select * from workerpool.enqueue_many(p_queue => {0}, p_payloads => {1}, p_priorities => {2}, p_delays => {3}, "
    "p_expires_in => {4}, p_unique_keys => {5}, p_headers => {6}, p_notify => true)"
)
ENQUEUE_ALL_KINDS = ("text", "json[]", "smallint[]", "float8[]", "float8[]", "text[]", "json[]")
TARGETS = "select targets, workerpool.notify(targets) from workerpool.targets({0}) targets"


@dataclass(slots=True)
class PostgresPublisher:
    """Enqueues over one connection of its own, opened at first use and again after it broke."""

    outside_transactions: ClassVar[str | None] = None
    endpoint: Endpoint
    _connection: Connection | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _checked: bool = False
    _to_notify: set[str] = field(default_factory=set)
    _notified: dict[str, float] = field(default_factory=dict)
    _notifier: "asyncio.Task[None] | None" = None

    async def enqueue(self, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Durable when it returns. Raises PayloadError, SourceUnavailable, SchemaError."""
        if len(jobs) > CHUNK:
            chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
            return await self._enqueue_chunks(queue, chunks)
        async with self._lock:
            connection = await self._ready()
            notify = self._may_notify(queue)
            async with translated(self.endpoint):
                if len(jobs) == 1:
                    rows = await connection.fetch(ENQUEUE_ONE, queue, *_scalars(jobs[0]), notify)
                else:
                    rows = await connection.fetch(ENQUEUE_MANY, queue, *_arrays(jobs), notify)
        if not notify:
            self._notify(queue)
        return [Enqueued(row[0], row[1]) for row in rows]

    async def _enqueue_chunks(self, queue: str, chunks: Sequence[Sequence[NewJob]]) -> list[Enqueued]:
        found: list[Enqueued] = []
        async with self._lock:
            connection = await self._ready()
            async with translated(self.endpoint), connection.transaction():
                for jobs in chunks:
                    rows = await connection.fetch(ENQUEUE_MANY, queue, *_arrays(jobs), False)  # noqa: FBT003 - SQL's
                    found += [Enqueued(row[0], row[1]) for row in rows]
        self._notify(queue)
        return found

    async def enqueue_chunks(self, queue: str, chunks: Iterable[Sequence[NewJob]]) -> int:
        """Enqueues chunk after chunk in one transaction, all or none; returns how many. Raises as ``enqueue``.

        For more jobs than fit in memory: each chunk is sent before the next one is asked for.
        """
        sent = 0
        async with self._lock:
            connection = await self._ready()
            async with translated(self.endpoint), connection.transaction():
                for jobs in chunks:
                    rows = await connection.fetch(ENQUEUE_MANY, queue, *_arrays(jobs), False)  # noqa: FBT003 - SQL's
                    sent += sum(not row[1] for row in rows)
        self._notify(queue)
        return sent

    async def enqueue_bulk(self, queue: str, payloads: Sequence[str]) -> int:
        """COPYs many plain jobs (no ids, priority, delay or key): several times as fast. Returns the copies made.

        All or none. Raises as ``enqueue``.
        """
        async with self._lock:
            connection = await self._ready()
            async with translated(self.endpoint), connection.transaction():
                targets = await connection.fetchval("select workerpool.targets($1)", queue)
                for target, chunk in _copies(targets, payloads):
                    await connection.copy_records_to_table(
                        "job",
                        schema_name=SCHEMA,
                        columns=COPIED,
                        records=((target, payload) for payload in chunk),
                        timeout=COPY_TIMEOUT,
                    )
        self._notify(queue)
        return len(payloads) * len(targets)

    async def close(self) -> None:
        """Sends the last notification and closes the connection; a later call would open another one."""
        if self._notifier is not None:
            await asyncio.wait([self._notifier])  # A loop that ends has cancelled it: runners find the jobs by polling.
        async with self._lock:
            await close(self._connection)

    async def _ready(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self.endpoint, role="enqueue")
        if not self._checked:
            async with translated(self.endpoint):
                migrate.require(await migrate.state(self._connection), self.endpoint.url)
            self._checked = True
        return self._connection

    def _may_notify(self, queue: str) -> bool:
        """Whether a notification may ride on the next commit: when the last one is long enough ago."""
        now = asyncio.get_running_loop().time()
        if now < self._notified.get(queue, 0.0) + NOTIFY_INTERVAL:
            return False
        self._notified[queue] = now
        return True

    def _notify(self, queue: str) -> None:
        self._to_notify.add(queue)
        if self._notifier is None or self._notifier.done():
            self._notifier = asyncio.create_task(self._send_notifications())

    async def _send_notifications(self) -> None:
        while self._to_notify:
            await asyncio.sleep(NOTIFY_INTERVAL)
            queues, self._to_notify = self._to_notify, set()
            try:
                async with self._lock:
                    connection = await self._ready()
                    async with translated(self.endpoint):
                        await connection.fetch(
                            "select workerpool.notify(workerpool.targets(topic)) from unnest($1::text[]) topic",
                            list(queues),
                        )
            except SourceError:
                return  # The jobs are committed; runners find them by polling.


def _arrays(jobs: Sequence[NewJob]) -> tuple[list[Any] | None, ...]:
    """Payloads, priorities, delays, expiries, keys and headers; an option that no job uses is None as a whole."""
    columns: tuple[list[Any], ...] = (
        [job.priority or None for job in jobs],
        [float(job.delay) or None for job in jobs],
        [None if job.expires_in is None else float(job.expires_in) for job in jobs],
        [job.unique_key for job in jobs],
        [job.headers for job in jobs],
    )
    return ([job.payload for job in jobs], *(c if any(v is not None for v in c) else None for c in columns))


def _copies(targets: Sequence[int], payloads: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """What each COPY writes: a queue's number and some of the payloads."""
    for target in targets:
        for start in range(0, len(payloads), COPY_CHUNK):
            yield target, payloads[start : start + COPY_CHUNK]


def _scalars(job: NewJob) -> tuple[Any, ...]:
    """Payload, priority, delay, expiry, key and headers, in the order of the SQL function."""
    return (job.payload, job.priority, job.delay, job.expires_in, job.unique_key, job.headers)


async def enqueue_on(connection: Any, queue: str, job: NewJob) -> Enqueued:  # noqa: ANN401 - asyncpg's or psycopg's
    """Enqueues inside the caller's transaction, on an asyncpg connection or a psycopg one (async or sync).

    The job exists exactly when the caller commits. Raises ConfigError for another kind of connection.
    """
    row = await fetch_row(connection, ENQUEUE, ENQUEUE_KINDS, (queue, *_scalars(job)))
    return Enqueued(int(row[0]), bool(row[1]))


async def enqueue_many_on(connection: Any, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:  # noqa: ANN401 - as above
    """As ``enqueue_on`` for many jobs, by one statement."""
    rows = await fetch_rows(connection, ENQUEUE_ALL, ENQUEUE_ALL_KINDS, (queue, *_arrays(jobs)))
    return [Enqueued(int(row[0]), bool(row[1])) for row in rows]


async def enqueue_bulk_on(connection: Any, queue: str, payloads: Sequence[str]) -> int:  # noqa: ANN401 - as above
    """As ``enqueue_on`` for many plain jobs, by COPY. Returns the copies made."""
    async with together(connection):
        targets = (await fetch_row(connection, TARGETS, ("text",), (queue,)))[0]
        for target, chunk in _copies(targets, payloads):
            # Text, because a codec that the caller has set for json has no place in a binary COPY.
            lines = (f"{target}\t{_escaped(payload)}\n".encode() for payload in chunk)
            await copy_rows(connection, (SCHEMA, "job"), COPIED, lines, COPY_TIMEOUT)
    return len(payloads) * len(targets)


def _escaped(payload: str) -> str:
    """For COPY's text format."""
    return payload.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
