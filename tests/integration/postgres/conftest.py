"""Fixtures of the tests that only Postgres can be put to."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.conformance.engine import Stage
from tests.conformance.engines import postgres


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
