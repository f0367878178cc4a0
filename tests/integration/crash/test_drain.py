"""Runners that are told to stop: what runs may finish, the rest goes back at once and at no cost."""

import signal

import psutil
import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import throughout, until
from tests.support.runner_process import RunnerProcess
from workerpool.cli.main import EXIT_UNAVAILABLE
from workerpool_contract.names import ENV_DRAIN_TIMEOUT, ENV_PROCESSES

pytestmark = pytest.mark.crash

LEASE = 600.0
RUNNING = 50
"""The concurrency of the worker ``gated``."""
WITHIN = 60.0
"""Seconds that a step may take; reached only when something is broken."""


def _costs(scene: Scene) -> set[tuple[int, int]]:
    """Attempts and crashes charged to any job so far."""
    return {(row["attempts"], row["crashes"]) for row in [*scene.tables.jobs(), *scene.tables.history()]}


def _busy_runner(scene: Scene, **environ: str) -> RunnerProcess:
    """A runner with 50 running jobs that wait for the gate, and with jobs that it claimed ahead of them."""
    scene.open("no gate")
    # Many jobs that end at once first: the runner then claims ahead.
    scene.tables.enqueue("gated", ({"n": n, "gate": "no gate"} for n in range(1000, 4000)))
    scene.tables.enqueue("gated", ({"n": n} for n in range(100)))
    runner = scene.start("gated", lease=LEASE, **environ)
    until(lambda: len(scene.witness.keys("start") & set(range(100))) == RUNNING, 120, "50 jobs run")
    return runner


def test_running_jobs_finish_and_unstarted_ones_go_back(scene: Scene) -> None:
    runner = _busy_runner(scene)

    runner.send(signal.SIGTERM)

    # How many it had claimed ahead follows from its speed; on a machine that is too busy it may be none.
    until(lambda: len([job for job in scene.tables.jobs() if job["boot"]]) == RUNNING, WITHIN, "unstarted jobs go back")
    until(lambda: runner.probe("/ready")[0] == 503, WITHIN, "it is not ready")
    until(lambda: runner.probe("/live")[0] == 200, WITHIN, "it is alive")
    until(lambda: _status(runner) == "draining", WITHIN, "it says that it drains")
    scene.open()
    assert runner.wait(WITHIN) == 0
    assert len(scene.witness.keys("finish") & set(range(100))) == RUNNING
    assert scene.witness.keys("cut") == set()
    assert [job["boot"] for job in scene.tables.jobs()] == [None] * (100 - RUNNING)
    assert _costs(scene) == {(0, 0)}

    scene.start("gated", lease=LEASE)
    until(lambda: scene.tables.unfinished() == 0, 120, "another runner does the rest")
    assert set(scene.witness.counts("start").values()) == {1}
    assert _costs(scene) == {(0, 0)}


def _status(runner: RunnerProcess) -> str | None:
    body = runner.probe("/health")[1]
    return body and str(body["status"])


def test_jobs_that_outlast_the_drain_go_to_another_runner_at_once_and_at_no_cost(scene: Scene) -> None:
    numbers = {"gated": range(50), "gated-thread": range(50, 55), "gated-process": range(55, 57)}
    for queue, part in numbers.items():
        scene.tables.enqueue(queue, ({"n": n} for n in part))
    workers = ("gated", "gated_thread", "gated_process")
    runner = scene.start(*workers, lease=LEASE, **{ENV_DRAIN_TIMEOUT: "1"}).ready()
    until(lambda: scene.witness.keys("start") == set(range(57)), 120, "57 jobs run")
    children = psutil.Process(runner.pid).children(recursive=True)
    assert children
    following = scene.start(*workers, lease=LEASE).ready()

    runner.send(signal.SIGTERM)

    assert runner.wait(WITHIN) == 0
    until(lambda: set(scene.witness.counts("start").values()) == {2}, 90, "the other runner starts all of them")
    until(lambda: not any(map(_runs, children)), WITHIN, "the processes of handlers end with their runner")
    assert scene.witness.keys("cut") == set(range(50)), "async handlers are told"
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, WITHIN, "the other runner finishes them")
    assert set(scene.witness.counts("finish").values()) == {1}
    assert {row["result"]["pid"] for row in scene.tables.history() if row["n"] < 55} == {following.pid}
    assert _costs(scene) == {(0, 0)}


def _runs(process: psutil.Process) -> bool:
    """A zombie does not: its new parent may be slow to collect it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_second_signal_hurries_the_drain(scene: Scene) -> None:
    scene.tables.enqueue("gated", ({"n": n} for n in range(RUNNING)))
    runner = scene.start("gated", lease=LEASE, **{ENV_DRAIN_TIMEOUT: "600"}).ready()
    until(lambda: len(scene.witness.keys("start")) == RUNNING, WITHIN, "50 jobs run")
    runner.send(signal.SIGTERM)
    until(lambda: runner.probe("/ready")[0] == 503, WITHIN, "the drain begins")
    throughout(lambda: runner.alive and not scene.witness.keys("cut"), 0.5, "the runner waits for its jobs")

    runner.send(signal.SIGTERM)

    assert runner.wait(WITHIN) == 0
    assert scene.witness.keys("cut") == set(range(RUNNING))
    assert [job["boot"] for job in scene.tables.jobs()] == [None] * RUNNING
    assert _costs(scene) == {(0, 0)}


def test_a_runner_of_several_processes_drains_as_one(scene: Scene) -> None:
    scene.tables.enqueue("gated", ({"n": n} for n in range(2 * RUNNING)))
    runner = scene.start("gated", lease=LEASE, **{ENV_PROCESSES: "2"}).ready()
    until(lambda: len(scene.witness.keys("start")) == 2 * RUNNING, WITHIN, "100 jobs run")
    assert len({event.pid for event in scene.witness.events()}) == 2

    runner.send(signal.SIGTERM)

    until(lambda: runner.probe("/ready")[0] != 200, WITHIN, "the drain begins")
    scene.open()
    assert runner.wait(WITHIN) == 0
    assert scene.witness.keys("finish") == set(range(2 * RUNNING))
    assert scene.tables.unfinished() == 0
    assert _costs(scene) == {(0, 0)}


def test_a_drain_while_the_server_is_away_ends_and_says_what_is_left(scene: Scene) -> None:
    scene.tables.enqueue("gated", ({"n": n} for n in range(3)))
    runner = scene.start("gated", lease=LEASE, **{ENV_DRAIN_TIMEOUT: "3"}).ready()
    until(lambda: len(scene.witness.keys("start")) == 3, WITHIN, "the jobs run")
    scene.server.stop("fast")
    scene.open()
    until(lambda: len(scene.witness.keys("finish")) == 3, WITHIN, "the jobs end")

    runner.send(signal.SIGTERM)

    assert runner.wait(WITHIN) == EXIT_UNAVAILABLE
    assert runner.messages()[-1].startswith("Error: 3 jobs stay leased: the queue's server did not take their outcomes")
