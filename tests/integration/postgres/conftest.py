"""Fixtures of the tests that only Postgres can be put to."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.conformance.engine import Stage
from tests.conformance.engines import postgres
from tests.integration.postgres.callers import LIBRARIES, Caller, Library, calling
from workerpool.producer import Producer
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.publisher import PostgresPublisher


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    """Consumers and a publisher on a fresh database."""
    async with postgres(database) as engine:
        stage = Stage(engine)
        yield stage
        await stage.close()


@pytest.fixture
async def admin(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection straight to the fresh database, with a table of an application in it."""
    connection = await asyncpg.connect(database)
    await connection.execute("create table booking (id int primary key)")
    yield connection
    await connection.close()


@pytest.fixture(params=LIBRARIES)
async def caller(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Caller]:
    """A program of one's own with a connection, by each library that may lend it."""
    library: Library = request.param
    async with calling(library, database) as connection:
        yield connection


@pytest.fixture
async def producer(database: str) -> AsyncIterator[Producer]:
    """A producer with a connection of its own."""
    async with Producer(PostgresPublisher(Endpoint(database))) as producer:
        yield producer
