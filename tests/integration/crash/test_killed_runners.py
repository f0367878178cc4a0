"""Runners that die without a word: nothing is lost, little runs twice, and the job that kills is found out."""

import random

import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import until
from tests.support.runner_process import RunnerProcess
from workerpool_contract.names import ENV_MAX_CRASHES

pytestmark = pytest.mark.crash

JOBS = 20_000
RUNNERS = 3
KILLS = 12
SEED = 20_240_229
LEASE = 15.0
"""Seconds in which what a killed runner held is looked up; nobody else takes it meanwhile, however slow the machine."""
POISON_LEASE = 10.0


@pytest.mark.timeout(900)  # up to fifteen starts of runners, one after the other
def test_nothing_is_lost_when_runners_are_killed_at_random_moments(scene: Scene) -> None:
    chance = random.Random(SEED)
    scene.tables.enqueue("quick", ({"n": n, "seconds": chance.uniform(0, 0.1)} for n in range(JOBS)))
    runners = [_start(scene) for _ in range(RUNNERS)]
    for runner in runners:
        runner.ready()
    in_flight: list[set[int]] = []
    for moment in sorted(chance.sample(range(500, 2 * JOBS - 2000), KILLS)):
        _until_work_reached(scene, moment)
        victim = until(lambda: next(filter(RunnerProcess.is_ready, runners), None), 90, "a runner is ready")
        boot = victim.boot()
        victim.kill()
        in_flight.append(scene.tables.leased_by(boot))
        runners.remove(victim)
        runners.insert(chance.randrange(RUNNERS), _start(scene))
    until(lambda: scene.tables.unfinished() == 0, 150, lambda: f"all done, {scene.tables.unfinished()} are not")

    finished = scene.witness.counts("finish")
    assert finished.keys() == set(range(JOBS)), "a job was lost"
    assert sorted(row["n"] for row in scene.tables.history()) == list(range(JOBS)), "a job ended twice or never"
    assert scene.tables.dead() == []
    started = scene.witness.counts("start")
    again = {n for n, times in started.items() if times > 1}
    assert again <= set().union(*in_flight), "a job ran twice that was not in flight at a kill"
    assert started.total() - JOBS <= sum(map(len, in_flight))
    assert sum(map(bool, in_flight)) >= KILLS // 2, "hardly a kill hit a runner at work: this proved nothing"


def _until_work_reached(scene: Scene, moment: int) -> None:
    until(lambda: len(scene.witness) >= moment, 90, lambda: f"{moment} events; there are {len(scene.witness)}")


def _start(scene: Scene) -> RunnerProcess:
    """Kills may hit the same innocent job again and again; here no job shall be given up for that."""
    return scene.start("quick", lease=LEASE, **{ENV_MAX_CRASHES: "1000"})


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_job_that_kills_its_process_becomes_a_dead_letter_and_its_neighbours_live(scene: Scene, how: str) -> None:
    poison, neighbours = 0, range(1, 31)
    payloads: list[dict[str, object]] = [{"n": n} for n in neighbours]
    payloads.insert(3, {"n": poison, "how": how})
    scene.tables.enqueue("deadly", payloads)
    runner = scene.start("deadly", lease=POISON_LEASE)

    def settled() -> bool:
        nonlocal runner
        if not runner.alive:
            runner = scene.start("deadly", lease=POISON_LEASE)
        return scene.tables.unfinished() == 0

    until(settled, 200, lambda: f"all settled: {scene.tables.jobs()}")

    (letter,) = scene.tables.dead()
    assert (letter["n"], letter["reason"], letter["crashes"], letter["attempts"]) == (poison, "crashed", 3, 0)
    assert "died or lost its lease 3 times" in letter["error"]
    assert scene.witness.counts("start")[poison] == 3
    assert scene.witness.keys("finish") == set(neighbours)
    assert {row["n"] for row in scene.tables.history() if row["state"] == "completed"} == set(neighbours)


def test_a_handler_process_that_dies_fails_its_job_only(scene: Scene) -> None:
    scene.tables.enqueue("deadly-child", [{"n": 0, "how": "exit"}, *({"n": n} for n in range(1, 7))])
    runner = scene.start("deadly_child", WORKERPOOL_RETRY_INITIAL_DELAY_SECONDS="0.1").ready()
    until(lambda: scene.tables.unfinished() == 0, 150, lambda: f"all settled: {scene.tables.jobs()}")

    (letter,) = scene.tables.dead()
    assert (letter["n"], letter["reason"], letter["crashes"], letter["attempts"]) == (0, "error", 0, 1)
    assert "exit code 7" in letter["error"]
    assert scene.witness.counts("start")[0] == 2
    assert scene.witness.keys("finish") == set(range(1, 7))
    assert runner.alive
