"""Jobs that come and go with the application's own transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.conformance.engine import LEASE, Stage
from tests.integration.postgres.callers import Caller, Rollback
from tests.support.waiting import eventually
from workerpool.context import JobContext
from workerpool.errors import ConfigError, LeaseLost, RetryableError
from workerpool.handlers import Handlers
from workerpool.outcome import Completed, Outcome, Retry, Stale
from workerpool.pipeline import Services, compile_pipeline
from workerpool.producer import Producer
from workerpool.registry import REGISTRY
from workerpool.sources.base import Job
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemorySource
from workerpool.worker import definition_of, worker

Admin = asyncpg.Connection


RENEWED = "select bool_or(lease_until > now() + $1) from workerpool.job"


class Unhurried:
    """A slot that nobody cuts off."""

    cancel_reason: str | None = None

    def hook_begins(self) -> None:
        """Nothing to note."""

    def hook_ends(self) -> None:
        """Nothing to note."""


@pytest.fixture
async def other(database: str) -> "AsyncIterator[Admin[Any]]":
    """Another connection than ``admin``."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def handlers() -> AsyncIterator[Handlers]:
    with REGISTRY.scoped():
        made = Handlers()
        yield made
        made.close()


async def test_a_job_exists_exactly_when_the_caller_commits(
    stage: Stage, admin: "Admin[Any]", caller: Caller, producer: Producer
) -> None:
    consumer = await stage.consumer()
    async with caller.transaction():
        await caller.execute("insert into booking values (1)")
        sent = await producer.send("orders", {"id": 1, "text": "☃"}, priority=3, connection=caller.connection)
        assert await consumer.claim() == []
    job = await consumer.one()
    assert (job.id, job.payload, job.priority) == (sent.id, '{"id":1,"text":"☃"}', 3)
    assert await admin.fetchval("select count(*) from booking") == 1


async def test_a_job_is_gone_when_the_caller_rolls_back(
    stage: Stage, admin: "Admin[Any]", caller: Caller, producer: Producer
) -> None:
    with suppress(Rollback):
        async with caller.transaction():
            await caller.execute("insert into booking values (1)")
            await producer.send("orders", 1, connection=caller.connection, unique_key="k", delay=5, headers={"h": "1"})
            raise Rollback
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.delayed) == (0, 0)
    assert not (await producer.send("orders", 2, unique_key="k")).duplicate
    assert await admin.fetchval("select count(*) from booking") == 0


async def test_a_commit_wakes_a_waiting_consumer(stage: Stage, caller: Caller, producer: Producer) -> None:
    consumer = await stage.consumer()
    while await consumer.source.wait(0.1):
        assert await consumer.claim() == []
    waiting = asyncio.create_task(consumer.source.wait(60))
    async with caller.transaction():
        await producer.send("orders", 1, connection=caller.connection)
    assert await asyncio.wait_for(waiting, 45)


async def test_a_stranger_connection_is_refused(producer: Producer) -> None:
    with pytest.raises(ConfigError, match="asyncpg or psycopg"):
        await producer.send("orders", 1, connection=object())


async def run(stage: Stage, handlers: Handlers, handler: Callable[..., Any]) -> tuple[Job, Outcome, Any]:
    """One job through the pipeline of ``handler``: the job, its outcome and the consumer that holds it."""
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    job = await consumer.one()
    definition = definition_of(worker(topic="orders", output_topic="invoices")(handler))
    pipeline = compile_pipeline(definition, services=Services(progress=consumer.source, handlers=handlers))
    return job, await pipeline(job, Unhurried()), consumer


async def test_the_end_of_a_job_commits_with_the_handlers_writes(
    stage: Stage, admin: "Admin[Any]", caller: Caller, handlers: Handlers
) -> None:
    async def book(_order: int, ctx: JobContext) -> str:
        async with caller.transaction():
            await caller.execute("insert into booking values (1)")
            await ctx.complete_on(caller.connection, {"booked": "☃"})
        return "not used"

    job, outcome, consumer = await run(stage, handlers, book)
    assert isinstance(outcome, Completed)
    assert await consumer.settle(job, outcome)
    [line] = await stage.engine.finished("orders")
    assert (line.state, line.result) == ("completed", '{"booked":"☃"}')
    assert (await stage.engine.backlog("invoices")).ready == 1, "the output is published with the finish"
    assert await admin.fetchval("select count(*) from booking") == 1


async def test_the_handlers_writes_roll_back_when_the_lease_was_lost(
    stage: Stage, admin: "Admin[Any]", caller: Caller, handlers: Handlers
) -> None:
    lost: list[LeaseLost] = []

    async def book(_order: int, ctx: JobContext) -> None:
        await admin.execute("update workerpool.job set claim = claim + 1")
        try:
            async with caller.transaction():
                await caller.execute("insert into booking values (1)")
                await ctx.complete_on(caller.connection)
        except LeaseLost as error:
            lost.append(error)
            raise

    _, outcome, _ = await run(stage, handlers, book)
    assert isinstance(outcome, Stale)
    assert len(lost) == 1
    assert await admin.fetchval("select count(*) from booking") == 0
    assert await stage.engine.finished("orders") == []


async def test_a_failure_after_a_rolled_back_completion_is_an_ordinary_retry(
    stage: Stage, admin: "Admin[Any]", caller: Caller, handlers: Handlers
) -> None:
    async def book(_order: int, ctx: JobContext) -> None:
        async with caller.transaction():
            await caller.execute("insert into booking values (1)")
            await ctx.complete_on(caller.connection, "done")
            raise RetryableError("the last check failed")

    job, outcome, consumer = await run(stage, handlers, book)
    assert isinstance(outcome, Retry)
    assert await consumer.settle(job, outcome)
    reading = await stage.engine.backlog("orders")
    assert (reading.delayed, reading.in_flight) == (1, 0)
    assert await admin.fetchval("select count(*) from booking") == 0


async def test_a_long_transaction_after_the_completion_holds_up_no_renewal(
    stage: Stage, admin: "Admin[Any]", other: "Admin[Any]"
) -> None:
    """The row is locked until the caller commits; renewing its lease would wait, and all others with it."""
    await stage.send("orders", "1", "2")
    consumer = await stage.consumer()
    first, _second = await consumer.claim()
    context = JobContext(first, worker="book", max_retries=3, sink=consumer.source)
    await stage.engine.advance(LEASE * 0.4)
    async with admin.transaction():
        await context.complete_on(admin)
        stage.engine._skipped += LEASE * 0.2  # type: ignore[attr-defined]  # the rows can't be shifted now

        async def renewed() -> bool:
            return bool(await other.fetchval(RENEWED, timedelta(seconds=LEASE * 0.9)))

        await eventually(renewed, "the renewal of the other job")
    assert [it.id for it in await stage.engine.finished("orders")] == [first.id]


async def test_a_sync_handler_completes_in_its_thread(
    stage: Stage, admin: "Admin[Any]", database: str, handlers: Handlers
) -> None:
    def book(_order: int, ctx: JobContext) -> None:
        import psycopg

        with psycopg.connect(database) as connection:
            connection.execute("insert into booking values (1)")
            ctx.blocking.complete_on(connection, {"booked": 1})

    _, outcome, _ = await run(stage, handlers, book)
    assert isinstance(outcome, Completed)
    assert [it.result for it in await stage.engine.finished("orders")] == ['{"booked":1}']
    assert await admin.fetchval("select count(*) from booking") == 1


async def test_an_engine_without_transactions_says_so(handlers: Handlers) -> None:
    source = MemorySource(MemoryEngine(lambda: 0.0))
    job = Job("orders", 1, 0, 0, 0, "1", None, 0.0, False, None)
    with pytest.raises(ConfigError, match="shares no transactions"):
        await JobContext(job, worker="book", max_retries=3, sink=source).complete_on(object())
