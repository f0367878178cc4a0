"""A look into the engine's tables, and jobs to put into them, for tests that stand outside of any event loop."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """The engine's tables in the database at ``url``; every call is a connection and a transaction of its own."""

    url: str

    def query(self, statement: str, *values: object) -> list[Row]:
        """The rows of one statement."""
        with psycopg.connect(self.url, row_factory=dict_row, connect_timeout=45) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, queue: str, payloads: Iterable[Mapping[str, object]]) -> list[int]:
        """Enqueues in one transaction and wakes sleeping runners; the ids in order."""
        texts = [json.dumps(payload) for payload in payloads]
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "select id from workerpool.enqueue_many(%s, %s::text[]::json[])", (queue, texts)
            ).fetchall()
            connection.execute("select pg_notify('workerpool', %s)", (queue,))
        return [row[0] for row in rows]

    def unfinished(self) -> int:
        """Jobs that are ready, in flight or delayed."""
        rows = self.query(
            "select (select count(*) from workerpool.job) + (select count(*) from workerpool.delayed) as n"
        )
        return int(rows[0]["n"])

    def jobs(self) -> list[Row]:
        """The hot table, by id."""
        return self.query("select *, lease_until > now() as leased from workerpool.job order by id")

    def leased_by(self, boot: str) -> set[int]:
        """The numbers (``n`` of the payload) of the jobs that a runner holds according to the server."""
        rows = self.query("select (payload->>'n')::int as n from workerpool.job where boot = %s::uuid", boot)
        return {row["n"] for row in rows}

    def history(self) -> list[Row]:
        """What ended, by id; ``n`` is the payload's."""
        return self.query("select *, (payload->>'n')::int as n from workerpool.history order by id, finished_at")

    def dead(self) -> list[Row]:
        """The dead letters, by id; ``n`` is the payload's."""
        return self.query("select *, (payload->>'n')::int as n from workerpool.dead order by id")
