"""Runners that stand still and come back: whoever lost the lease changes nothing any more."""

import signal

import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import throughout, until
from tests.support.runner_process import RunnerProcess

pytestmark = pytest.mark.crash

LEASE = 12.0
"""Seconds; a runner that the machine holds up for a third of it keeps its jobs."""
WITHIN = LEASE + 45
"""Seconds that anything may take, the end of a lease included; reached only when something is broken."""


def _at_work(scene: Scene, worker: str, queue: str) -> tuple[RunnerProcess, RunnerProcess]:
    """Two runners: the first runs job 1, the second could. The job comes last, so that no start uses up its lease."""
    runners = [scene.start(worker, lease=LEASE) for _ in range(2)]
    for runner in runners:
        runner.ready()
    scene.tables.enqueue(queue, [{"n": 1}])
    (start,) = until(lambda: scene.witness.events("start"), WITHIN, "a runner starts the job")
    runners.sort(key=lambda runner: runner.pid != start.pid)
    return runners[0], runners[1]


def _overtaken(scene: Scene, worker: str, queue: str) -> tuple[RunnerProcess, RunnerProcess]:
    """Two runners: the first was stopped while it ran job 1, the second runs that job now."""
    first, second = _at_work(scene, worker, queue)
    first.send(signal.SIGSTOP)
    until(lambda: len(scene.witness.events("start")) > 1, WITHIN, "the second runner claims the job again")
    assert [event.pid for event in scene.witness.events("start")] == [first.pid, second.pid]
    return first, second


def test_a_finish_that_comes_after_the_lease_was_lost_is_refused(scene: Scene) -> None:
    first, second = _overtaken(scene, "told", "told")
    boots = [job["boot"] for job in scene.tables.jobs()]

    first.send(signal.SIGCONT)
    scene.open(f"gate.{first.pid}")

    until(
        lambda: first.metric("workerpool_stale_settlements_total") == 1, WITHIN, "the late finish is counted as stale"
    )
    assert [event.pid for event in scene.witness.events("finish")] == [first.pid], "it was no late finish"
    said = "1 outcomes came after their lease was lost and were not recorded"
    until(lambda: said in first.messages(), WITHIN, said)
    assert scene.tables.history() == []
    assert [job["boot"] for job in scene.tables.jobs()] == boots, "the second runner lost its job to the first"
    scene.open(f"gate.{second.pid}")
    until(scene.tables.history, WITHIN, "the second runner finishes")
    assert [(row["result"], row["crashes"]) for row in scene.tables.history()] == [({"pid": second.pid}, 1)]
    assert [job["payload"] for job in scene.tables.jobs()] == [{"pid": second.pid}], "the output was published twice"
    second.kill()
    scene.tables.enqueue("told", [{"n": 2}])
    until(lambda: 2 in scene.witness.keys("finish"), WITHIN, "the first runner works again")


def test_a_handler_whose_lease_was_lost_is_cut_off_before_it_does_more(scene: Scene) -> None:
    first, second = _overtaken(scene, "gated", "gated")

    first.send(signal.SIGCONT)

    (cut,) = until(lambda: scene.witness.events("cut"), WITHIN, "the first runner cuts its handler off")
    assert cut.pid == first.pid
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, WITHIN, "the second runner finishes")
    assert [event.pid for event in scene.witness.events("finish")] == [second.pid]
    assert [row["result"] for row in scene.tables.history()] == [{"pid": second.pid}]


def test_a_runner_that_claims_its_own_lost_job_again_does_not_run_it_twice_at_a_time(scene: Scene) -> None:
    scene.tables.enqueue("gated", [{"n": 1}])
    runner = scene.start("gated", lease=LEASE).ready()
    until(lambda: scene.witness.keys("start"), WITHIN, "the job starts")
    runner.send(signal.SIGSTOP)
    until(lambda: not scene.tables.jobs()[0]["leased"], WITHIN, "the lease ends")

    runner.send(signal.SIGCONT)

    until(lambda: len(scene.witness.events()) > 2, WITHIN, "the job is cut off and starts again")
    assert sorted(event.what for event in scene.witness.events()) == ["cut", "start", "start"]
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, WITHIN, "the job ends")
    assert len(scene.witness.events("finish")) == 1


def test_a_handler_that_hogs_the_event_loop_keeps_its_lease(scene: Scene) -> None:
    runner, _ = _at_work(scene, "told", "told")

    throughout(lambda: len(scene.witness.events("start")) == 1, 1.5 * LEASE, "only one runner has the job")

    # Far below the lag at which a runner is no longer healthy.
    status, body = runner.probe("/health")
    assert body["checks"]["loop"]["lagSeconds"] > 1.25 * LEASE
    assert status == 200
    assert runner.probe("/live")[0] == 200
    scene.open()
    until(scene.tables.history, WITHIN, "the job ends")
    assert [(row["result"], row["crashes"]) for row in scene.tables.history()] == [({"pid": runner.pid}, 0)]
    assert runner.metric("workerpool_stale_settlements_total") == 0


def test_cancelling_a_running_job_cuts_its_handler_off(scene: Scene) -> None:
    first, second = scene.tables.enqueue("gated", [{"n": 1}, {"n": 2}])
    # A renewal would find out too, but only after half the lease.
    runner = scene.start("gated", lease=600).ready()
    until(lambda: scene.witness.keys("start") == {1, 2}, WITHIN, "both jobs start")

    scene.tables.query("delete from workerpool.job where id = %s returning id", first)
    scene.tables.query("select pg_notify('workerpool', %s)", f"!{first}")

    until(lambda: scene.witness.keys("cut") == {1}, 45, "the handler is cut off")
    assert [job["id"] for job in scene.tables.jobs()] == [second]
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, WITHIN, "the other job ends")
    assert [row["n"] for row in scene.tables.history()] == [2]
    assert runner.busy() == 0
