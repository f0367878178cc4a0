"""Many jobs at once: within the application's own transaction, and more than one statement's time allows."""

import asyncio
from contextlib import suppress

import asyncpg
import psycopg
import pytest

from tests.conformance.engine import Stage
from tests.integration.postgres.callers import Caller, Rollback
from tests.support.waiting import eventually
from workerpool.producer import Producer
from workerpool.sources.postgres import publisher
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.publisher import PostgresPublisher

STATEMENT_SECONDS = 5.0
"""For connecting too, which a slow machine must get done in time."""
BLOCKED_COPY = """
select exists (
  select from pg_stat_activity where query ilike 'copy%' and wait_event_type = 'Lock'
  and datname = current_database() and now() - query_start > interval '7 seconds'
)
"""

PAYLOADS = [{"id": 1, "text": 'a "b" \\n\t\n☃'}, "\\.", None, [1, 2]]
WRITTEN = ['{"id":1,"text":"a \\"b\\" \\\\n\\t\\n☃"}', '"\\\\."', "null", "[1,2]"]


async def test_many_jobs_exist_exactly_when_the_caller_commits(
    stage: Stage, caller: Caller, producer: Producer
) -> None:
    consumer = await stage.consumer()
    async with caller.transaction():
        sent = await producer.enqueue_many("orders", PAYLOADS, priority=3, connection=caller.connection)
        assert await consumer.claim() == []
    jobs = await consumer.claim()
    assert [(job.id, job.payload, job.priority) for job in jobs] == [
        (one.id, text, 3) for one, text in zip(sent, WRITTEN, strict=True)
    ]


async def test_prepared_jobs_keep_their_options(stage: Stage, caller: Caller, producer: Producer) -> None:
    jobs = [producer.job(1, delay=5, headers={"h": "1"}), producer.job(2, unique_key="k", expires_in=60)]
    async with caller.transaction():
        await producer.enqueue_jobs("orders", jobs, connection=caller.connection)
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.delayed) == (1, 1)
    assert (await producer.send("orders", 2, unique_key="k")).duplicate


async def test_bulk_jobs_exist_exactly_when_the_caller_commits(
    stage: Stage, caller: Caller, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "COPY_CHUNK", 3)
    consumer = await stage.consumer()
    async with caller.transaction():
        assert await producer.enqueue_bulk("orders", PAYLOADS, connection=caller.connection) == len(PAYLOADS)
        assert await consumer.claim() == []
    assert [job.payload for job in await consumer.claim()] == WRITTEN


async def test_none_of_them_exists_when_the_caller_rolls_back(
    stage: Stage, admin: "asyncpg.Connection[asyncpg.Record]", caller: Caller, producer: Producer
) -> None:
    with suppress(Rollback):
        async with caller.transaction():
            await caller.execute("insert into booking values (1)")
            await producer.enqueue_many("orders", PAYLOADS, connection=caller.connection)
            await producer.enqueue_jobs("orders", [producer.job(1, delay=5)], connection=caller.connection)
            await producer.enqueue_bulk("orders", PAYLOADS, connection=caller.connection)
            raise Rollback
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.delayed) == (0, 0)
    assert await admin.fetchval("select count(*) from booking") == 0


async def test_a_transaction_that_psycopg_began_by_itself_is_the_callers_to_end(
    stage: Stage, database: str, producer: Producer
) -> None:
    with psycopg.connect(database) as connection:
        await producer.enqueue_bulk("orders", PAYLOADS, connection=connection)
        connection.rollback()
    async with await psycopg.AsyncConnection.connect(database) as patient:
        await producer.enqueue_bulk("orders", PAYLOADS, connection=patient)
        await patient.rollback()
    assert (await stage.engine.backlog("orders")).ready == 0


async def test_a_bulk_in_the_callers_transaction_wakes_a_consumer(
    stage: Stage, caller: Caller, producer: Producer
) -> None:
    consumer = await stage.consumer()
    while await consumer.source.wait(0.1):
        assert await consumer.claim() == []
    waiting = asyncio.create_task(consumer.source.wait(60))
    async with caller.transaction():
        await producer.enqueue_bulk("orders", [1], connection=caller.connection)
    assert await asyncio.wait_for(waiting, 45)


async def test_a_bulk_may_take_longer_than_a_statement(
    database: str, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "COPY_CHUNK", 10)
    observer = await asyncpg.connect(database)

    async def blocked() -> bool:
        return bool(await observer.fetchval(BLOCKED_COPY))

    async with Producer(PostgresPublisher(Endpoint(database, timeout=STATEMENT_SECONDS))) as producer:
        await producer.send("orders", 0)
        async with admin.transaction():
            await admin.execute("lock table workerpool.job in share mode")
            bulk = asyncio.create_task(producer.enqueue_bulk("orders", range(25)))
            await eventually(blocked, "a COPY that outlives the time of a statement")
        assert await bulk == 25
    assert await observer.fetchval("select count(*) from workerpool.job") == 26
    await observer.close()
