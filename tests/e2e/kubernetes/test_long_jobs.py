"""Jobs of a minute, while their pool shrinks and while it is rolled: each finishes on the pod that began it."""

import pytest

from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.runs import Run, assert_each_ran_once
from tests.e2e.kubernetes.watching import watched_pods
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

LONG = 60
SHORT = 30
PAIRS = 3
ROLLED = (2 * PAIRS, 2 * PAIRS + 1)
WORKER = {"jobTimeoutSeconds": 2 * LONG}


def running(pool: Pool, numbers: range | tuple[int, ...]) -> dict[int, Run]:
    """The runs of these jobs that began and did not end, by job."""
    return {run.n: run for run in pool.runs() if run.n in numbers and run.ended is None}


def test_long_jobs_finish_where_they_began(new_pool: NewPool) -> None:
    shrinking = new_pool("shrinking", "long", WORKER, {"backlogPerReplica": 1, "maxReplicas": 2 * PAIRS})
    rolled = new_pool("rolled", "slow", WORKER, {"backlogPerReplica": 1, "maxReplicas": len(ROLLED)})
    rolled.enqueue(len(ROLLED), first=ROLLED[0], seconds=LONG)
    # Every other job is short, so that neither the oldest pods nor the youngest become idle.
    for n in range(2 * PAIRS):
        shrinking.enqueue(1, first=n, seconds=SHORT if n % 2 else LONG)

    until(lambda: len(running(rolled, ROLLED)) == len(ROLLED), 60, rolled.story)
    before = running(rolled, ROLLED)
    rolled.patch({"worker": {"jobTimeoutSeconds": 3 * LONG}})
    until(lambda: len(running(shrinking, range(2 * PAIRS))) == 2 * PAIRS, 60, shrinking.story)
    assert_idle_ones_go(shrinking)
    assert_old_ones_drain(rolled, {run.pod for run in before.values()})

    rolled.wait_settled(2 * PAIRS + len(ROLLED), 120)
    assert_each_ran_once(rolled.runs(), 2 * PAIRS + len(ROLLED))
    charged = rolled.tables.query("select distinct attempts, crashes, state from workerpool.history")
    assert charged == [{"attempts": 0, "crashes": 0, "state": "completed"}]
    rolled.wait_asleep(60)
    shrinking.wait_asleep(60)


def assert_idle_ones_go(pool: Pool) -> None:
    """Marked first, then ended; the others are still there with what they run."""
    spread = running(pool, range(2 * PAIRS))
    idle = {run.pod for n, run in spread.items() if n % 2}
    busy = {run.pod for n, run in spread.items() if not n % 2}
    assert len(idle | busy) == 2 * PAIRS
    with watched_pods(pool) as seen:
        until(lambda: {pod["metadata"]["name"] for pod in pool.pods()} == busy, 60, pool.story)
        assert set(running(pool, range(2 * PAIRS))) == {0, 2, 4}
        marked = {line.split()[0] for line in seen if line.split()[1:2] == ["-100"]}
        assert marked == idle


def assert_old_ones_drain(pool: Pool, old: set[str]) -> None:
    """New pods are ready, the old ones were told to end, and work on."""

    def all_told() -> bool:
        ending = {pod["metadata"]["name"] for pod in pool.pods() if "deletionTimestamp" in pod["metadata"]}
        return ending == old

    until(all_told, 60, pool.story)
    assert {run.pod for run in running(pool, ROLLED).values()} == old
