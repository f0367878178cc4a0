"""What every test of the runner starts from, and the stage of those that run one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.runner.stage import Server, Stage, StageOf
from tests.unit.runner.stand import Clock
from workerpool import runner as module
from workerpool.registry import REGISTRY
from workerpool.runner import Runner
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemoryPublisher
from workerpool.worker import definition_of
from workerpool_contract.environment import RunnerSettings


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Workers of one test are unknown to the next."""
    with REGISTRY.scoped():
        yield


@pytest.fixture
def stage_of(monkeypatch: pytest.MonkeyPatch) -> StageOf:
    """Makes stages whose runner is stopped at the end."""

    @asynccontextmanager
    async def make(*workers: Any, **settings: Any) -> AsyncIterator[Stage]:
        clock = Clock()
        source = Server(MemoryEngine(clock))
        monkeypatch.setattr(module, "open_source", lambda _options: source)
        monkeypatch.setattr(module, "open_publisher", lambda _url, _options: MemoryPublisher(source.engine))
        chosen_settings = RunnerSettings(url="memory://", probe_host="127.0.0.1", probe_port=0, **settings)
        runner = Runner(chosen_settings, [definition_of(it) for it in workers], clock=clock)
        stage = Stage(runner, source, clock)
        try:
            yield stage
        finally:
            runner.stop()
            runner.stop()
            if stage.task is not None:
                await stage.ended()

    return make
