"""Corners of the engine that the conformance suite can't reach: numbers that run out, names that differ, odd errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.producer import get_producer
from workerpool.sources.base import Job, Subscription
from workerpool.sources.postgres import source as module
from workerpool.sources.postgres.connection import Endpoint, translated
from workerpool.sources.postgres.source import PostgresSource
from workerpool.sources.postgres.upkeep import Identity, Lease
from workerpool_contract.names import NOTIFY_CHANNEL


@asynccontextmanager
async def opened(url: str, *subscriptions: Subscription) -> AsyncIterator[PostgresSource]:
    """A source that holds nothing."""
    identity = Identity(uuid4(), "test", "here", 1, "0")
    source = PostgresSource(Endpoint(url), identity, Lease(30, asyncio.get_running_loop().time))
    none: list[Job] = []
    await source.open(subscriptions or [Subscription("orders", "orders")], lambda: none)
    try:
        yield source
    finally:
        await source.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A plain connection."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_claims_are_numbered_anew_when_the_numbers_run_out(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_CLAIM", 2)
    async with opened(database) as source, get_producer(database) as producer:
        for _ in range(5):
            await producer.send("orders", {})
            assert len(await source.claim({"orders": 1})) == 1


async def test_a_due_job_counts_as_ready_though_no_runner_has_moved_it(database: str) -> None:
    """Else a pool at zero would never wake up for it."""
    async with connected(database) as admin, get_producer(database) as producer:
        await producer.send("orders", {}, delay=3600)
        await producer.send("orders", {}, delay=3600)
        await admin.execute(
            "update workerpool.delayed set due_at = now() - interval '5 s' "
            "where id = (select min(id) from workerpool.delayed)"
        )
        row = await admin.fetchrow("select * from workerpool.backlog(array['orders'])")
    assert row is not None
    assert (row["ready"], row["delayed"]) == (1, 1)
    assert row["oldest_age"] >= 5
    assert row["next_due"] > 3000


async def test_a_notification_names_the_queues_that_got_a_copy(database: str) -> None:
    """Pools are called after queues: a group at zero must be woken by its own name."""
    heard: list[object] = []
    async with connected(database) as admin, get_producer(database) as producer:
        await admin.execute("select workerpool.subscribe('orders', 'orders@mail')")
        await admin.execute("select workerpool.subscribe('orders', 'orders@stock')")
        await admin.add_listener(NOTIFY_CHANNEL, lambda *message: heard.append(message[-1]))
        await producer.send("orders", {})
        await eventually(lambda: _count(heard, 2), "two notifications")
        await producer.enqueue_bulk("orders", [{}])
        await eventually(lambda: _count(heard, 4), "four notifications")
    assert set(heard) == {"orders@mail", "orders@stock"}


@pytest.mark.parametrize("state", ["53100", "25006", "55P03", "40P01", "57P03", "08006"])
async def test_troubles_that_pass_are_worth_another_try(database: str, state: str) -> None:
    """Disk full, a standby, a lock, a deadlock, a start, a cut: none of them is the job's fault."""
    async with connected(database) as admin:
        with pytest.raises(SourceUnavailable):
            async with translated(Endpoint(database)):
                await admin.execute(f"do $$ begin raise exception 'no' using errcode = '{state}'; end $$")


async def test_runners_that_end_together_lose_no_counts(database: str) -> None:
    async with connected(database) as admin, connected(database) as other:
        queues = [await admin.fetchval("select workerpool.queue_id($1)", f"q{n}") for n in range(20)]
        boots = [uuid4(), uuid4()]
        for boot, order in zip(boots, (queues, queues[::-1]), strict=True):
            for queue in order:
                await admin.execute("insert into workerpool.stat values ($1, $2, 1, 0, 0)", queue, boot)
        await asyncio.gather(
            admin.execute("select workerpool.farewell($1)", boots[0]),
            other.execute("select workerpool.farewell($1)", boots[1]),
        )
        assert await admin.fetchval("select sum(completed) from workerpool.queue") == 40
        assert await admin.fetchval("select count(*) from workerpool.stat") == 0


async def test_a_key_that_is_freed_meanwhile_is_taken(database: str) -> None:
    """The holder of a unique key may finish between our INSERT and our look at who holds it."""
    async with connected(database) as holder, get_producer(database) as producer:
        first = await producer.send("orders", {}, unique_key="k")
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("delete from workerpool.unique_key")
        waiting = asyncio.create_task(producer.send("orders", {}, unique_key="k"))
        await eventually(lambda: _waits(database), "the second producer waits")
        await transaction.commit()
        second = await waiting
    assert not second.duplicate
    assert second.id > first.id


async def _count(heard: list[object], number: int) -> bool:
    return len(heard) == number


async def _waits(url: str) -> bool:
    async with connected(url) as admin:
        return bool(
            await admin.fetchval(
                "select exists (select from pg_stat_activity where datname = current_database() "
                "and wait_event_type = 'Lock' and application_name = 'workerpool enqueue')"
            )
        )
