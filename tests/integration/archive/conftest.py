"""An archive worker in memory or as a process, on a real S3 server."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.archive.queues import PostgresQueue, Queue, RabbitmqQueue
from tests.support.postgres import FAST, Server, throw_away
from tests.support.rabbitmq import Broker, throw_away_broker
from tests.support.runner_process import RunnerProcess, start_runner
from tests.support.s3 import S3Server, throw_away_s3
from workerpool.archive.plan import plan_archive
from workerpool.archive.worker import NAME, Archive
from workerpool.testing import TestBroker
from workerpool_contract.archive import DEFAULT_QUEUE, ArchiveSettings
from workerpool_contract.environment import RunnerSettings


@dataclass
class Stage:
    """An archive and a queue in memory; ``bucket`` does not exist yet."""

    archive: Archive
    broker: TestBroker

    async def send(self, *payloads: Any) -> None:
        """Puts messages on the archive's queue; nothing runs yet."""
        for payload in payloads:
            await self.broker.publish(DEFAULT_QUEUE, payload)


Staging = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """The name of a bucket that nobody used before."""
    return s3_server.create_bucket()


@pytest.fixture
def stage(s3_server: S3Server, bucket: str) -> Staging:
    """Makes archives: keywords change the settings, ``runner`` those of the runner."""

    def made(runner: RunnerSettings | None = None, **changes: Any) -> AbstractAsyncContextManager[Stage]:
        return staged(replace(s3_server.settings(bucket), **changes), runner or RunnerSettings())

    return made


@asynccontextmanager
async def staged(settings: ArchiveSettings, runner: RunnerSettings) -> AsyncIterator[Stage]:
    """An archive with these settings, opened, and its queue in memory."""
    archive = Archive(plan_archive(settings, runner), clock=time.monotonic, wall=time.time)
    await archive.open()
    try:
        async with TestBroker(archive.definition, patience=60) as broker:
            yield Stage(archive, broker)
    finally:
        await archive.close()


@pytest.fixture
def own_server(s3_program: Path) -> Iterator[S3Server]:
    """An S3 server that the test may stop, kill and pause."""
    with throw_away_s3(s3_program) as server:
        yield server


@pytest.fixture(scope="module")
def _postgres() -> Iterator[Server]:
    with throw_away(settings={**FAST, "synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture(scope="module")
def _broker() -> Iterator[Broker]:
    with throw_away_broker() as broker:
        yield broker


@pytest.fixture
def _postgres_queue(_postgres: Server) -> Iterator[Queue]:
    name = _postgres.create_database()
    yield PostgresQueue(_postgres, _postgres.url(name))
    _postgres.drop_database(name)


@pytest.fixture
def _rabbitmq_queue(_broker: Broker) -> Iterator[Queue]:
    vhost = _broker.create_vhost()
    yield RabbitmqQueue(vhost)
    _broker.drop_vhost(vhost)


@pytest.fixture(params=["postgres", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def queue(request: pytest.FixtureRequest) -> Queue:
    """An empty queue on a server that the test may stop."""
    made: Queue = request.getfixturevalue(f"_{request.param}_queue")
    return made


Start = Callable[..., RunnerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(url, **environ)`` starts ``workerpool run s3-archive``; what still runs afterwards is killed."""
    runners: list[RunnerProcess] = []

    def started(url: str, **environ: str) -> RunnerProcess:
        runners.append(start_runner(url, "", [NAME], tmp_path, environ))
        return runners[-1]

    yield started
    for runner in runners:
        if runner.alive:
            runner.kill()
