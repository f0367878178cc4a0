"""A look at one job costs the same with a hundred thousand jobs ready: only index pages are read."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from workerpool.sources.postgres import admin_sql as sql

BACKLOG = 100_000
PAGES = 120
"""A scan of this backlog would read over ten thousand."""


@pytest.fixture
def deep(database: str) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """A deep backlog on two queues and five priorities, the planner's statistics still those of an empty table."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table workerpool.job set (autovacuum_enabled = false)")
        for queue in ("orders", "mails"):
            connection.execute(
                "insert into workerpool.job (queue_id, priority, payload) "
                "select workerpool.queue_id(%s), n %% 5 - 2, '{}' from generate_series(1, %s) n",
                (queue, BACKLOG // 2),
            )
        connection.execute("begin")
        for pin in sql.PIN:
            connection.execute(pin.encode())
        yield connection


def pages(connection: "psycopg.Connection[tuple[Any, ...]]", statement: str, *values: object) -> int:
    """How many pages a statement reads."""
    names = [f"${n}" for n in range(1, len(values) + 1)]
    for name, value in reversed(list(zip(names, values, strict=True))):
        statement = statement.replace(name, psycopg.sql.Literal(value).as_string(connection))
    row = connection.execute(f"explain (analyze, buffers, format json) {statement}".encode()).fetchone()
    assert row
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    assert "Seq Scan on job" not in json.dumps(plan)
    return int(plan[0]["Plan"]["Shared Hit Blocks"]) + int(plan[0]["Plan"]["Shared Read Blocks"])


def test_a_job_is_found_by_its_id(deep: "psycopg.Connection[tuple[Any, ...]]") -> None:
    for job_id in (1, BACKLOG // 2, BACKLOG, BACKLOG + 1):
        assert pages(deep, sql.LOCATE, job_id) < PAGES
        assert pages(deep, sql.HOT, job_id) < PAGES


def test_the_head_of_the_backlog_is_listed(deep: "psycopg.Connection[tuple[Any, ...]]") -> None:
    assert pages(deep, sql.LIST_HOT, None, 50, False) < PAGES
    assert pages(deep, sql.LIST_HOT, "orders", 50, False) < PAGES


def test_a_job_is_cancelled_through_the_index(deep: "psycopg.Connection[tuple[Any, ...]]") -> None:
    row = deep.execute("select queue_id, priority, id from workerpool.job order by random() limit 1").fetchone()
    assert row
    assert pages(deep, sql.CANCEL_HOT, *row) < PAGES
