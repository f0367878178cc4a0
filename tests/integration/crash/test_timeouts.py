"""Handlers that take too long are cut off, each kind in its way, and what they say later is not recorded."""

import psutil
import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import throughout, until

pytestmark = pytest.mark.crash


def _run_over_time(scene: Scene, worker: str, queue: str) -> int:
    """Runs a job into its worker's timeout; returns the process that ran the handler."""
    scene.tables.enqueue(queue, [{"n": 1}])
    runner = scene.start(worker, lease=600).ready()
    until(scene.tables.dead, 120, "the job becomes a dead letter")
    (letter,) = scene.tables.dead()
    assert (letter["reason"], letter["attempts"], letter["crashes"]) == ("timeout", 0, 0)
    assert "cut off after" in letter["error"]
    until(lambda: runner.busy() == 0, 45, "the slot is free")
    (start,) = scene.witness.events("start")
    return start.pid


def _goes_on(scene: Scene, queue: str) -> None:
    """The runner does the next job, and nothing became of the first one's late result."""
    scene.open()
    scene.tables.enqueue(queue, [{"n": 2}])
    until(lambda: scene.tables.unfinished() == 0, 120, "the next job ends")
    assert [(row["n"], row["state"]) for row in scene.tables.history()] == [(1, "dead"), (2, "completed")]
    assert len(scene.tables.dead()) == 1


def test_an_async_handler_is_cancelled(scene: Scene) -> None:
    _run_over_time(scene, "slow", "slow")
    (start, cut) = scene.witness.events(key=1)
    assert cut.what == "cut"
    assert cut.at - start.at > 4.5, "it was cut off before its time was over"
    _goes_on(scene, "slow")
    assert scene.witness.keys("finish") == {2}


def test_a_thread_is_left_alone_and_its_late_result_ignored(scene: Scene) -> None:
    _run_over_time(scene, "slow_thread", "slow-thread")
    scene.open()
    until(lambda: scene.witness.keys("finish") == {1}, 60, "the thread comes to its end, too late")
    _goes_on(scene, "slow-thread")


def _is_gone(pid: int) -> bool:
    """A zombie is: its parent may be slow to collect it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_process_of_a_handler_is_killed(scene: Scene) -> None:
    child = _run_over_time(scene, "slow_process", "slow-process")
    until(lambda: _is_gone(child), 45, "killed")
    scene.open()
    throughout(lambda: not scene.witness.keys("finish"), 0.5, "the handler of the first job is gone")
    _goes_on(scene, "slow-process")
    assert scene.witness.keys("finish") == {2}
