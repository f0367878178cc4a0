"""Backlogs read from a real Postgres: counts, failures in words without secrets, reconnection, pushes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.ports import free_port
from tests.support.postgres import Server, throw_away
from tests.support.waiting import DEADLINE, eventually
from workerpool.producer import get_producer
from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_operator.backlog.postgres import PostgresBacklog


@asynccontextmanager
async def reader(
    url: str, *, cap: int = 1000, pooled: bool = False, on_push: Callable[[str], None] | None = None
) -> AsyncIterator[PostgresBacklog]:
    """A reader that is closed afterwards."""
    made = PostgresBacklog(url, cap=cap, pooled=pooled, timeout=DEADLINE, on_push=on_push)
    try:
        yield made
    finally:
        await made.close()


async def read(made: PostgresBacklog, queue: str = "q") -> Reading:
    """One reading of one queue."""
    return (await made.read([queue]))[queue]


@pytest.mark.parametrize("pooled", [False, True])
async def test_counts_of_several_queues_in_one_request(database: str, pooled: bool) -> None:
    async with get_producer(database) as producer, reader(database, pooled=pooled) as it:
        await producer.enqueue_many("a", [1, 2, 3])
        await producer.send("b", 1, delay=60)
        found = await it.read(["a", "b", "never seen"])
    first, second = found["a"], found["b"]
    assert isinstance(first, Backlog)
    assert isinstance(second, Backlog)
    assert (first.ready, first.in_flight, first.delayed, first.truncated) == (3, 0, 0, False)
    assert first.oldest_age is not None
    assert (second.ready, second.delayed) == (0, 1)
    assert second.next_due == pytest.approx(60, abs=10)
    assert found["never seen"] == Backlog(0)


async def test_counting_stops_at_the_cap(database: str) -> None:
    async with get_producer(database) as producer, reader(database, cap=10) as it:
        await producer.enqueue_many("q", range(50))
        found = await read(it)
    assert isinstance(found, Backlog)
    assert found.truncated
    assert found.ready == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("/test_", "/no_"), "has no such database; create it or correct the URL"),
        (lambda _: f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x", "can't be reached; check host and port"),
        (lambda _: "postgresql://u:hunter2@127.0.0.1:notaport/x", "has an unusable URL"),
    ],
)
async def test_failures_are_unknown_with_a_reason_and_no_secret(
    database: str, change: Callable[[str], str], words: str
) -> None:
    async with reader(change(database)) as it:
        found = await read(it)
    assert isinstance(found, Unknown)
    assert words in found.reason
    assert "hunter2" not in found.reason


async def test_missing_migrations_are_told(empty_database: str) -> None:
    async with reader(empty_database) as it:
        found = await read(it)
    assert isinstance(found, Unknown)
    assert found.reason.endswith("lacks the tables of this release; run `workerpool migrate`")


async def test_reads_again_after_the_server_was_away() -> None:
    with throw_away() as server:
        async with reader(server.url("migrated")) as it:
            assert await read(it) == Backlog(0)
            await asyncio.to_thread(server.stop, "fast")
            assert isinstance(await read(it), Unknown)
            await asyncio.to_thread(server.start)

            async def back() -> bool:
                return await read(it) == Backlog(0)

            await eventually(back, "the backlog is read again")


async def test_a_new_job_is_pushed_also_after_the_connection_was_lost(postgres_server: Server, database: str) -> None:
    pushed: list[str] = []
    async with get_producer(database) as producer, reader(database, on_push=pushed.append) as it:
        await read(it)
        await producer.send("q", 1)
        await eventually(lambda: _has(pushed, "q"), "a push")
        postgres_server.terminate_backends(database.rpartition("/")[2])

        async def back() -> bool:
            return isinstance(await read(it), Backlog)

        await eventually(back, "the backlog is read again")
        async with get_producer(database) as other:
            await other.send("later", 1)
        await eventually(lambda: _has(pushed, "later"), "a push after the loss")


async def _has(seen: list[str], queue: str) -> bool:
    return queue in seen
