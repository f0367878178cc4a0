"""Runners that stand still and come back: whoever lost the lease changes nothing any more."""

import signal

import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import throughout, until
from tests.support.runner_process import RunnerProcess

pytestmark = pytest.mark.crash

LEASE = 1.5


def _overtaken(scene: Scene, worker: str, queue: str) -> tuple[RunnerProcess, RunnerProcess]:
    """Two runners: the first was stopped while it ran job 1, the second runs that job now."""
    scene.tables.enqueue(queue, [{"n": 1}])
    first = scene.start(worker, lease=LEASE).ready()
    until(lambda: scene.witness.keys("start"), 30, "the first runner starts the job")
    second = scene.start(worker, lease=LEASE).ready()
    first.send(signal.SIGSTOP)
    until(lambda: len(scene.witness.events("start")) > 1, 15, "the second runner claims the job again")
    assert [event.pid for event in scene.witness.events("start")] == [first.pid, second.pid]
    return first, second


def test_a_finish_that_comes_after_the_lease_was_lost_is_refused(scene: Scene) -> None:
    first, second = _overtaken(scene, "told", "told")
    boots = [job["boot"] for job in scene.tables.jobs()]

    first.send(signal.SIGCONT)
    scene.open(f"gate.{first.pid}")

    until(lambda: first.metric("workerpool_stale_settlements_total") == 1, 10, "the late finish is counted as stale")
    assert [event.pid for event in scene.witness.events("finish")] == [first.pid], "it was no late finish"
    assert "1 outcomes came after their lease was lost and were not recorded" in first.messages()
    assert scene.tables.history() == []
    assert [job["boot"] for job in scene.tables.jobs()] == boots, "the second runner lost its job to the first"
    scene.open(f"gate.{second.pid}")
    until(scene.tables.history, 10, "the second runner finishes")
    assert [(row["result"], row["crashes"]) for row in scene.tables.history()] == [({"pid": second.pid}, 1)]
    assert [job["payload"] for job in scene.tables.jobs()] == [{"pid": second.pid}], "the output was published twice"
    second.kill()
    scene.tables.enqueue("told", [{"n": 2}])
    until(lambda: 2 in scene.witness.keys("finish"), 10, "the first runner works again")


def test_a_handler_whose_lease_was_lost_is_cut_off_before_it_does_more(scene: Scene) -> None:
    first, second = _overtaken(scene, "gated", "gated")

    first.send(signal.SIGCONT)

    (cut,) = until(lambda: scene.witness.events("cut"), 10, "the first runner cuts its handler off")
    assert cut.pid == first.pid
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, 10, "the second runner finishes")
    assert [event.pid for event in scene.witness.events("finish")] == [second.pid]
    assert [row["result"] for row in scene.tables.history()] == [{"pid": second.pid}]


def test_a_runner_that_claims_its_own_lost_job_again_does_not_run_it_twice_at_a_time(scene: Scene) -> None:
    scene.tables.enqueue("gated", [{"n": 1}])
    runner = scene.start("gated", lease=LEASE).ready()
    until(lambda: scene.witness.keys("start"), 30, "the job starts")
    runner.send(signal.SIGSTOP)
    until(lambda: not scene.tables.jobs()[0]["leased"], 10, "the lease ends")

    runner.send(signal.SIGCONT)

    until(lambda: len(scene.witness.events()) > 2, 10, "the job is cut off and starts again")
    assert sorted(event.what for event in scene.witness.events()) == ["cut", "start", "start"]
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, 10, "the job ends")
    assert len(scene.witness.events("finish")) == 1


def test_a_handler_that_hogs_the_event_loop_keeps_its_lease(scene: Scene) -> None:
    scene.tables.enqueue("told", [{"n": 1}])
    runner = scene.start("told", lease=LEASE).ready()
    until(lambda: scene.witness.keys("start"), 30, "the job starts")
    scene.start("told", lease=LEASE).ready()

    throughout(lambda: len(scene.witness.events("start")) == 1, 4 * LEASE, "only one runner has the job")

    status, body = runner.probe("/health")
    assert body["checks"]["loop"]["lagSeconds"] > 2 * LEASE
    assert status == 200
    assert runner.probe("/live")[0] == 200
    scene.open()
    until(scene.tables.history, 10, "the job ends")
    assert [(row["result"], row["crashes"]) for row in scene.tables.history()] == [({"pid": runner.pid}, 0)]
    assert runner.metric("workerpool_stale_settlements_total") == 0


def test_cancelling_a_running_job_cuts_its_handler_off(scene: Scene) -> None:
    first, second = scene.tables.enqueue("gated", [{"n": 1}, {"n": 2}])
    runner = scene.start("gated").ready()
    until(lambda: scene.witness.keys("start") == {1, 2}, 30, "both jobs start")

    scene.tables.query("delete from workerpool.job where id = %s returning id", first)
    scene.tables.query("select pg_notify('workerpool', %s)", f"!{first}")

    until(lambda: scene.witness.keys("cut") == {1}, 2, "the handler is cut off")
    assert [job["id"] for job in scene.tables.jobs()] == [second]
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, 10, "the other job ends")
    assert [row["n"] for row in scene.tables.history()] == [2]
    assert runner.probe("/health")[1]["worker"]["busy"] == 0
