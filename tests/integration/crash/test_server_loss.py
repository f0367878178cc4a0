"""A server that restarts, ends sessions, falls silent or loses an answer: work goes on, and no lease is waited for.

The lease is longer than any of these tests: a job that only its end would free makes them fail.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import throughout, until
from tests.support.proxy import proxy_to
from tests.support.runner_process import RunnerProcess

pytestmark = pytest.mark.crash

LEASE: Final = 600.0
RECOVERY: Final = 60.0
JOBS: Final = 4000
KEPT_BACK: Final = 800
"""Jobs that must be left when sessions are ended for the last time, to show that work goes on."""
ONE_ROW_FETCHED: Final = "s\x00\x00\x00\x04"
"""The message "portal suspended", which ends the answer to a statement of which one row was asked for."""
SEED: Final = 7_041_776


@contextmanager
def under_load(scene: Scene) -> Iterator[list[RunnerProcess]]:
    """Two runners at work on many jobs; afterwards each job has ended once, at no cost, in the same two processes."""
    chance = random.Random(SEED)
    runners = [scene.start("quick", lease=LEASE) for _ in range(2)]
    for runner in runners:
        runner.ready()
    # Only now: what starts first must not have done the work before the other one is there.
    scene.tables.enqueue("quick", ({"n": n, "seconds": chance.uniform(0, 0.2)} for n in range(JOBS)))
    pids = {runner.pid for runner in runners}
    until(lambda: {event.pid for event in scene.witness.events("start")} == pids, RECOVERY, "both runners work")
    yield runners
    until(lambda: scene.tables.unfinished() == 0, 120, lambda: f"all done; left: {scene.tables.jobs()[:3]}")
    assert scene.witness.keys("finish") == set(range(JOBS))
    assert [(row["n"], row["crashes"], row["attempts"]) for row in scene.tables.history()] == [
        (n, 0, 0) for n in range(JOBS)
    ]
    assert {event.pid for event in scene.witness.events()} == pids
    assert all(runner.alive for runner in runners)


def ran_once(scene: Scene, jobs: int = JOBS) -> None:
    """No job was started twice."""
    assert {n: times for n, times in scene.witness.counts("start").items() if times > 1} == {}
    assert scene.witness.keys("start") == set(range(jobs))


def work_goes_on(scene: Scene, within: float = RECOVERY) -> None:
    """Jobs that start from now on, within so many seconds; there must be some left."""
    now = time.monotonic()
    assert len(scene.witness.keys("start")) < JOBS, "all work was done before: this proves nothing"
    until(
        lambda: any(event.at > now for event in scene.witness.events("start")[-1:]),
        within,
        lambda: f"a job starts; {len(scene.witness.keys('start'))} have started",
    )


def test_work_goes_on_after_the_server_crashed(scene: Scene) -> None:
    """A crash of the server may undo claims of the last moment: those jobs, and no others, may run twice."""
    in_flight: set[int] = set()
    with under_load(scene):
        for _ in range(3):
            work_goes_on(scene)
            scene.server.stop("immediate")
            recorded = {row["n"] for row in _recorded(scene)}
            # Looked up last: jobs that were claimed ahead start while the server is away.
            in_flight |= scene.witness.keys("start") - recorded
        work_goes_on(scene)
    assert {n for n, times in scene.witness.counts("start").items() if times > 1} <= in_flight


def _recorded(scene: Scene) -> list[dict[str, int]]:
    """What had ended when the server came back."""
    scene.server.start()
    return scene.tables.history()


def test_work_goes_on_while_sessions_are_ended_again_and_again(scene: Scene) -> None:
    chance = random.Random(SEED)
    with under_load(scene) as runners:
        rounds = ended = 0
        while rounds < 25 and len(scene.witness.keys("start")) < JOBS - KEPT_BACK:
            rounds += 1
            work_goes_on(scene)
            throughout(lambda: all(runner.alive for runner in runners), chance.uniform(0, 0.2), "the runners live")
            ended += scene.server.terminate_backends(scene.tables.url.rpartition("/")[2])
        assert rounds >= 5
        assert ended > rounds
        work_goes_on(scene)
    ran_once(scene)


def test_work_goes_on_after_an_outage(scene: Scene) -> None:
    with under_load(scene) as runners:
        work_goes_on(scene)
        scene.server.stop("fast")
        until(lambda: all(runner.probe("/ready")[0] == 503 for runner in runners), 60, "the runners are not ready")
        throughout(lambda: all(runner.probe("/live")[0] == 200 for runner in runners), 18, "the runners are alive")
        scene.server.start()
        work_goes_on(scene)
        for runner in runners:
            runner.ready(RECOVERY)
    ran_once(scene)


def test_work_goes_on_after_the_server_was_silent_for_longer_than_a_statement_may_take(scene: Scene) -> None:
    with under_load(scene) as runners:
        work_goes_on(scene)
        with scene.paused_server():
            until(lambda: all(runner.probe("/ready")[0] == 503 for runner in runners), 60, "the runners notice")
            assert all(runner.probe("/live")[0] == 200 for runner in runners)
        work_goes_on(scene)
    ran_once(scene)


@pytest.mark.parametrize("proof", ["claim", "settle"])
def test_a_lost_answer_costs_nothing(scene: Scene, proof: str) -> None:
    """The server did what it was asked to, but the runner never hears of it."""
    with proxy_to(scene.tables.url) as network:
        runner = scene.start("quick", lease=LEASE, url=network.url(scene.tables.url)).ready()
        scene.tables.enqueue("quick", [{"n": 0}])
        until(scene.tables.history, RECOVERY, "the first job ends, and every statement is prepared")
        lost = network.lose_answer(proof, {"claim": '"precious"', "settle": ONE_ROW_FETCHED}[proof])
        scene.tables.enqueue("quick", ({"n": n, "precious": n, "seconds": 0.05} for n in range(1, 100)))
        assert lost.wait(RECOVERY), "no answer was lost: this proves nothing"
        until(lambda: scene.tables.unfinished() == 0, RECOVERY, lambda: f"all done; left: {scene.tables.jobs()[:3]}")
    ran_once(scene, 100)
    assert [(row["n"], row["crashes"], row["attempts"]) for row in scene.tables.history()] == [
        (n, 0, 0) for n in range(100)
    ]
    assert runner.metric("workerpool_stale_settlements_total") == 0


def test_a_runner_started_without_a_server_waits_for_it(scene: Scene) -> None:
    scene.tables.enqueue("quick", [{"n": 1}])
    scene.server.stop("fast")
    runner = scene.start("quick", lease=LEASE)
    until(lambda: runner.probe("/live")[0] == 200, 90, "the probes answer")
    assert runner.probe("/ready")[0] == 503
    scene.server.start()
    until(lambda: scene.witness.keys("finish") == {1}, RECOVERY, "the job runs")
