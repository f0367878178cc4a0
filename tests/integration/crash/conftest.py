"""A server that the crash tests may stop and kill, and for each test a scene: tables, witness, gates and runners."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.crash_crew import Crew
from tests.support.postgres import FAST, Server, throw_away
from tests.support.runner_process import RunnerProcess
from tests.support.tables import Tables
from workerpool_contract.names import ENV_LEASE


@dataclass
class Scene(Crew):
    """What one crash test plays on."""

    server: Server
    tables: Tables

    def start(self, *workers: str, lease: float = 30.0, url: str | None = None, **environ: str) -> RunnerProcess:
        """Starts a runner of these workers, without waiting for it."""
        return self.run(url or self.tables.url, workers, **{ENV_LEASE: f"{lease:g}"}, **environ)

    @contextmanager
    def paused_server(self) -> Iterator[None]:
        """The server is there and says nothing, as behind a frozen disk; every one of its processes is stopped."""
        postmaster = psutil.Process(self.server.pid)
        postmaster.suspend()
        processes = [postmaster, *postmaster.children()]
        for process in processes[1:]:
            process.suspend()
        try:
            yield
        finally:
            for process in reversed(processes):
                process.resume()


@pytest.fixture(scope="session")
def crash_server() -> Iterator[Server]:
    """A server of our own: the one that the other tests share must not be stopped. What it acknowledged is durable."""
    with throw_away(settings={**FAST, "synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture
def scene(crash_server: Server, tmp_path: Path) -> Iterator[Scene]:
    """A fresh database and nothing running; afterwards the server is up again, whatever the test did to it."""
    name = crash_server.create_database()
    stage = Scene(tmp_path, crash_server, Tables(crash_server.url(name)))
    try:
        yield stage
    finally:
        stage.close()
        if not (crash_server.data / "postmaster.pid").exists():
            crash_server.start()
        crash_server.drop_database(name)
