"""Every test of this folder runs once per engine."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.engine import Engine, Stage
from tests.conformance.engines import MemoryAdapter, postgres
from tests.conformance.rabbitmq import rabbitmq


@pytest.fixture(params=["memory", "postgres", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """The engine under test, empty."""
    if request.param == "memory":
        yield MemoryAdapter()
        return
    if request.param == "rabbitmq":
        async with rabbitmq(request.getfixturevalue("vhost").url) as adapter:
            yield adapter
        return
    async with postgres(request.getfixturevalue("database")) as adapter:
        yield adapter


@pytest.fixture
async def stage(engine: Engine) -> AsyncIterator[Stage]:
    """The engine with its consumers, which are closed afterwards."""
    stage = Stage(engine)
    yield stage
    await stage.close()
