"""Backlogs of Postgres queues: one connection per URL, one query for all queues of it, and a push when a job arrives.

Every failure becomes an `Unknown` with a reason fit for a status: the server, never the credentials. A lost
connection is opened again at the next reading.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncpg

from workerpool_contract import names
from workerpool_contract.backlog import Backlog, Reading, RunnerReport, Unknown
from workerpool_contract.urls import describe
from workerpool_operator.backlog.reader import Signals
from workerpool_operator.backlog.watch import LEAST_CAP, Endpoint

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

QUERY = f"select * from {names.SCHEMA}.backlog($1::text[], $2::int)"  # noqa: S608 - a constant
RUNNERS = f"select * from {names.SCHEMA}.runners($1::text[], $2::int)"  # noqa: S608 - a constant

_EXPLAINED: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.InvalidPasswordError, "refused the login; check user and password"),
    (asyncpg.InvalidAuthorizationSpecificationError, "refused the login; check user and password"),
    (asyncpg.InvalidCatalogNameError, "has no such database; create it or correct the URL"),
    (asyncpg.InsufficientPrivilegeError, f"forbids reading the schema {names.SCHEMA}; grant usage and execute"),
    (asyncpg.UndefinedFunctionError, "lacks the tables of this release; run `workerpool migrate`"),
    (asyncpg.InvalidSchemaNameError, "lacks the tables of this release; run `workerpool migrate`"),
    (asyncpg.QueryCanceledError, "took too long to answer"),
    (TimeoutError, "took too long to answer"),
    (OSError, "can't be reached; check host and port, and that the server runs"),
    (ValueError, "has an unusable URL; expected postgresql://user:password@host:5432/database"),
)


class PostgresBacklog:
    """Reads the backlogs of one database. Use it from one task at a time."""

    def __init__(
        self,
        url: str,
        *,
        cap: int,
        pooled: bool = False,
        timeout: float = 5.0,
        on_push: Callable[[str], None] | None = None,
        on_loss: Callable[[], None] | None = None,
    ) -> None:
        """``cap``: count no further per queue. ``on_push``: told the queue when a job arrives; not with ``pooled``.

        ``on_loss``: told when the connection ends by itself between two readings; the next one opens it again.
        """
        self.cap = cap
        self._url = url
        self._pooled = pooled
        self._timeout = timeout
        self._on_push = on_push
        self._on_loss = on_loss
        self._connection: Connection | None = None

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        """One reading per queue."""
        rows = await self._fetch(QUERY, queues)
        if isinstance(rows, Unknown):
            return dict.fromkeys(queues, rows)
        found: dict[str, Reading] = {row["queue"]: _backlog(row) for row in rows}
        missing = Unknown(f"{describe(self._url)} said nothing about this queue")
        return {queue: found.get(queue, missing) for queue in queues}

    async def runners(self, queues: list[str]) -> dict[str, tuple[RunnerReport, ...]] | Unknown:
        """The runner processes of each queue."""
        rows = await self._fetch(RUNNERS, queues)
        if isinstance(rows, Unknown):
            return rows
        found: dict[str, list[RunnerReport]] = {queue: [] for queue in queues}
        for row in rows:
            found[row["queue"]].append(_report(row))
        return {queue: tuple(reports) for queue, reports in found.items()}

    async def close(self) -> None:
        """Closes the connection."""
        await self._drop()

    async def _fetch(self, query: str, queues: list[str]) -> list[asyncpg.Record] | Unknown:
        try:
            return await (await self._connected()).fetch(query, queues, self.cap)
        except (asyncpg.UndefinedFunctionError, asyncpg.InsufficientPrivilegeError) as error:
            # The connection is sound, and the other query may be known, or allowed.
            return Unknown(f"{describe(self._url)} {_why(error)}")
        except Exception as error:  # noqa: BLE001 - nothing here may stop the loop that serves other pools too
            await self._drop()
            return Unknown(f"{describe(self._url)} {_why(error)}")

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        connection: Connection = await asyncpg.connect(
            self._url,
            timeout=self._timeout,
            command_timeout=self._timeout,
            statement_cache_size=0 if self._pooled else 100,
            server_settings=None if self._pooled else {"application_name": "workerpool operator"},
        )
        self._connection = connection
        if self._on_push is not None and not self._pooled:
            await connection.add_listener(names.NOTIFY_CHANNEL, self._pushed)
            connection.add_termination_listener(self._lost)
        return connection

    def _pushed(self, *arguments: Any) -> None:  # noqa: ANN401 - asyncpg's callback: connection, pid, channel, payload
        if self._on_push is not None:
            self._on_push(str(arguments[-1]))

    def _lost(self, _: object) -> None:
        if self._on_loss is not None:
            self._on_loss()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.remove_termination_listener(self._lost)
            connection.terminate()


def open_postgres(endpoint: Endpoint, signals: Signals) -> PostgresBacklog:
    """The reader of a Postgres endpoint, for the hub."""
    return PostgresBacklog(
        endpoint.url, cap=LEAST_CAP, pooled=endpoint.pooled, on_push=signals.pushed, on_loss=signals.lost
    )


def _why(error: Exception) -> str:
    return next((words for kind, words in _EXPLAINED if isinstance(error, kind)), f"failed: {type(error).__name__}")


def _backlog(row: asyncpg.Record) -> Backlog:
    return Backlog(
        ready=row["ready"],
        in_flight=row["in_flight"],
        delayed=row["delayed"],
        dead=row["dead"],
        truncated=row["truncated"],
        oldest_age=row["oldest_age"],
        next_due=row["next_due"],
        completed=row["completed"],
        failed=row["failed"],
    )


def _report(row: asyncpg.Record) -> RunnerReport:
    service = row["service_ms"]
    return RunnerReport(
        name=row["name"],
        slots=row["slots"],
        busy=row["busy"],
        age=row["age"],
        completed=row["completed"],
        failed=row["failed"],
        service_seconds=None if service is None else service / 1000,
    )
