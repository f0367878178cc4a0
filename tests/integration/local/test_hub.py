"""The hub on a real Postgres: pushes in time, one session for many pools, outages that heal by themselves."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.pgbouncer import bouncing
from tests.support.postgres import FAST, USER, Server, throw_away
from tests.support.waiting import DEADLINE, eventually
from workerpool.producer import get_producer
from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_operator.backlog.hub import Hub
from workerpool_operator.backlog.postgres import open_postgres
from workerpool_operator.backlog.watch import Endpoint, Watch

NEVER = 3600.0


@dataclass
class Told:
    """Who was told."""

    keys: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, key: str) -> None:
        self.keys.append(key)
        self.news.set()

    async def of(self, key: str) -> None:
        """Until ``key`` was told."""
        async with asyncio.timeout(DEADLINE):
            while key not in self.keys:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[Hub[str], Told]]:
    """A hub on real connections."""
    told = Told()
    made: Hub[str] = Hub(open_postgres, steady=time.monotonic, notify=told)
    try:
        yield made, told
    finally:
        await made.aclose()


def watch(url: str, queue: str, interval: float = NEVER, *, asleep: bool = True, pooled: bool = False) -> Watch:
    """A watch that polls hardly ever, so that what arrives was pushed."""
    return Watch(Endpoint(url, pooled), queue, interval, cap=1000, asleep=asleep)


def reading(made: Hub[str], key: str) -> Reading | None:
    """The last reading of ``key``."""
    look = made.look(key)
    return None if look is None else look.reading


async def test_a_job_is_told_without_a_poll(database: str) -> None:
    async with get_producer(database) as producer, hub() as (made, told):
        made.follow("a", watch(database, "a"))
        made.follow("b", watch(database, "b"))
        await told.of("b")
        await told.of("a")
        for _ in range(5):
            told.keys.clear()
            await producer.send("a", 1)
            await told.of("a")
        await eventually(lambda: _work(made, "a"), "the jobs are seen")
        await eventually(lambda: _known(made, "b"), "the other queue is known")
        assert reading(made, "b") == Backlog(0)


async def test_a_thousand_pools_use_one_session(postgres_server: Server, database: str) -> None:
    async with hub() as (made, told):
        for number in range(1000):
            made.follow(f"pool-{number}", watch(database, f"q{number}", asleep=False))
        await told.of("pool-999")
        name = database.rpartition("/")[2]
        assert postgres_server.execute(
            f"select count(*) from pg_stat_activity where datname = '{name}' and application_name like '%operator'"
        ) == [(1,)]


async def test_pushes_arrive_also_after_the_session_was_ended(postgres_server: Server, database: str) -> None:
    async with get_producer(database) as producer, hub() as (made, told):
        made.follow("a", watch(database, "a"))
        await told.of("a")
        before = made.look("a")
        assert before is not None
        postgres_server.terminate_backends(database.rpartition("/")[2])
        await eventually(lambda: _later(made, "a", before.at), "a reading right after the loss")
        told.keys.clear()
        await producer.send("a", 1)
        await told.of("a")
        await eventually(lambda: _work(made, "a"), "the job is seen")


async def test_an_outage_is_unknown_and_heals_by_itself() -> None:
    with throw_away() as server:
        url = server.url("migrated")
        async with hub() as (made, told):
            made.follow("a", watch(url, "a", 2.0, asleep=False))
            await told.of("a")
            await asyncio.to_thread(server.stop, "fast")
            await eventually(lambda: _unknown(made, "a"), "the backlog is unknown")
            await asyncio.to_thread(server.start)
            await eventually(lambda: _known(made, "a"), "the backlog is known again")
            made.follow("a", watch(url, "a"))
            async with get_producer(url) as producer:
                told.keys.clear()
                await producer.send("a", 1)
                await told.of("a")


async def test_a_pooled_endpoint_is_polled_and_never_listens() -> None:
    with throw_away(settings={**FAST, "log_statement": "all"}) as server, bouncing(server) as port:
        url = f"postgresql://{USER}@127.0.0.1:{port}/migrated"
        async with get_producer(server.url("migrated")) as producer, hub() as (made, told):
            made.follow("a", watch(url, "a", 0.1, pooled=True))
            await told.of("a")
            await producer.send("a", 1)
            await eventually(lambda: _work(made, "a"), "the job is found by polling")
        statements = server.log.read_text().lower()
        assert "backlog" in statements
        assert "listen workerpool" not in statements.replace('"', "")


async def _later(made: Hub[str], key: str, at: float) -> bool:
    look = made.look(key)
    return look is not None and look.at > at and isinstance(look.reading, Backlog)


async def _unknown(made: Hub[str], key: str) -> bool:
    return isinstance(reading(made, key), Unknown)


async def _known(made: Hub[str], key: str) -> bool:
    return isinstance(reading(made, key), Backlog)


async def _work(made: Hub[str], key: str) -> bool:
    found = reading(made, key)
    return isinstance(found, Backlog) and found.work > 0
