"""A worker with executor="process" in a real runner: results come back, and no child outlives what it worked for."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.patience import until
from tests.support.runner_process import RunnerProcess, start_runner
from tests.support.tables import Tables
from workerpool_contract.names import ENV_DRAIN_TIMEOUT

pytestmark = pytest.mark.postgres

APP = "tests.integration.runner.process_app"
PATIENCE = 120.0


@pytest.fixture
def runner(database: str, tmp_path: Path) -> Iterator[RunnerProcess]:
    """A runner that gives its jobs half a second when it is told to stop."""
    process = start_runner(database, APP, ["compute"], tmp_path, {ENV_DRAIN_TIMEOUT: "0.5"})
    yield process.ready()
    if process.alive:
        process.kill()


def child_of(file: Path) -> int:
    """The process id that a handler wrote."""
    until(lambda: file.exists() and file.read_text() != "", PATIENCE, "the handler runs")
    return int(file.read_text())


def test_a_result_comes_back_from_a_child(database: str, runner: RunnerProcess, tmp_path: Path) -> None:
    tables, file = Tables(database), tmp_path / "pid"
    tables.enqueue("heavy", [{"file": str(file)}])
    until(lambda: len(tables.history()) == 1, PATIENCE, "the job is completed")
    assert tables.history()[0]["result"] == {"pid": child_of(file)}
    assert child_of(file) != runner.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_its_runner(
    database: str, runner: RunnerProcess, tmp_path: Path, number: signal.Signals
) -> None:
    tables, file = Tables(database), tmp_path / "pid"
    tables.enqueue("heavy", [{"file": str(file), "forever": True}])
    child = child_of(file)
    runner.send(number)
    runner.wait(PATIENCE)
    until(lambda: not psutil.pid_exists(child), PATIENCE, "the child is gone")
    (job,) = tables.jobs()
    assert job["attempts"] == 0, "the job was interrupted, it has not failed"
