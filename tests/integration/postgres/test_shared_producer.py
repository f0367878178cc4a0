"""``get_producer()`` and ``publish`` in an application of one's own: settings from the environment, one connection."""

import asyncio

import asyncpg
import pytest

from workerpool.errors import ConfigError, PayloadError
from workerpool.producer import Producer, get_producer, publish
from workerpool.sources.postgres.publisher import PostgresPublisher

SESSIONS = "select count(*) from pg_stat_activity where application_name = 'workerpool enqueue'"


@pytest.fixture
def url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WORKERPOOL_URL", database)
    return database


def _pooled(producer: Producer) -> bool:
    assert isinstance(producer.publisher, PostgresPublisher)
    return producer.publisher.endpoint.pooled


async def test_calls_of_one_loop_share_one_connection(url: str, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    for number in range(3):
        await get_producer().send("orders", number)
        await publish("orders", number)
    assert await admin.fetchval(f"{SESSIONS} and datname = current_database()") == 1
    assert await admin.fetchval("select count(*) from workerpool.job") == 6
    assert get_producer() is get_producer()
    assert get_producer(url) is not get_producer()


async def test_a_closed_producer_opens_again(url: str, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    await publish("orders", 1)
    await get_producer().close()
    assert await admin.fetchval(f"{SESSIONS} and datname = current_database()") == 0
    await publish("orders", 2)
    assert await admin.fetchval("select count(*) from workerpool.job") == 2


def test_the_connection_ends_with_the_loop(url: str) -> None:
    async def send() -> None:
        await asyncio.gather(*(publish("orders", number) for number in range(10)))

    async def look() -> tuple[int, int]:
        connection = await asyncpg.connect(url)
        sessions = await connection.fetchval(f"{SESSIONS} and datname = current_database()")
        jobs = await connection.fetchval("select count(*) from workerpool.job")
        await connection.close()
        return sessions, jobs

    asyncio.run(send())
    assert asyncio.run(look()) == (0, 10)
    asyncio.run(send())
    assert asyncio.run(look()) == (0, 20), "another loop opens a connection of its own"


async def test_the_url_may_be_called_database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    assert (await publish("orders", 1)).id


async def test_pooled_mode_is_read_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_POSTGRES_MODE", "Pooled")
    for producer in (get_producer(), get_producer(url)):
        assert _pooled(producer)
    assert not _pooled(get_producer(pooled=False))
    await get_producer().send("orders", 1)


async def test_the_payload_limit_is_read_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_MAX_PAYLOAD_BYTES", "5")
    with pytest.raises(PayloadError, match="over the limit of 5"):
        await publish("orders", "too long")
    assert (await get_producer(max_payload=50).send("orders", "long enough")).id


async def test_a_bad_setting_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_POSTGRES_MODE", "sideways")
    with pytest.raises(ConfigError, match="WORKERPOOL_POSTGRES_MODE: 'sideways' is not one of"):
        await publish("orders", 1)


async def test_settings_that_only_a_runner_needs_are_the_applications_own(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "pretty")
    assert (await publish("orders", 1)).id
