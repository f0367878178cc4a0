"""A server that the crash tests may stop and kill, and for each test a scene: tables, witness, gates and runners."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support.postgres import FAST, Server, throw_away
from tests.support.runner_process import RunnerProcess, start_runner
from tests.support.tables import Tables
from tests.support.witness import ENV_GATES, ENV_WITNESS, Witness
from workerpool_contract.names import ENV_LEASE

APP = "tests.support.crash_app"


@dataclass
class Scene:
    """What one crash test plays on. ``folder`` keeps gates, logs and what the witness writes."""

    server: Server
    tables: Tables
    folder: Path
    runners: list[RunnerProcess] = field(default_factory=list)

    @property
    def witness(self) -> Witness:
        """What the handlers did."""
        return Witness(self.folder / "witness")

    def start(self, *workers: str, lease: float = 30.0, url: str | None = None, **environ: str) -> RunnerProcess:
        """Starts a runner of these workers, without waiting for it."""
        settings = {ENV_WITNESS: str(self.folder / "witness"), ENV_GATES: str(self.folder), ENV_LEASE: f"{lease:g}"}
        runner = start_runner(url or self.tables.url, APP, workers, self.folder, settings | environ)
        self.runners.append(runner)
        return runner

    def open(self, gate: str = "gate") -> None:
        """Lets the handlers go on that wait for this gate."""
        (self.folder / gate).touch()

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

    def close(self) -> None:
        """Kills what still runs, child processes of handlers included."""
        for runner in self.runners:
            if runner.alive:
                runner.send(signal.SIGCONT)
                children = psutil.Process(runner.pid).children(recursive=True)
                runner.kill()
                for child in children:
                    if child.is_running():
                        child.kill()


@pytest.fixture(scope="session")
def crash_server() -> Iterator[Server]:
    """A server of our own: the one that the other tests share must not be stopped. What it acknowledged is durable."""
    with throw_away(settings={**FAST, "synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture
def scene(crash_server: Server, tmp_path: Path) -> Iterator[Scene]:
    """A fresh database and nothing running; afterwards the server is up again, whatever the test did to it."""
    name = crash_server.create_database()
    stage = Scene(crash_server, Tables(crash_server.url(name)), tmp_path)
    try:
        yield stage
    finally:
        stage.close()
        if not (crash_server.data / "postmaster.pid").exists():
            crash_server.start()
        crash_server.drop_database(name)
