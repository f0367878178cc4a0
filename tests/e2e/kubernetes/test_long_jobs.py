"""Long jobs, while their pool shrinks and while it is rolled: each finishes where it began, and the idle go."""

import pytest

from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.release import ready_among
from tests.e2e.kubernetes.runs import Run, assert_each_ran_once, release
from tests.e2e.kubernetes.watching import watched_pods
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(900)]

LONG = 60
"""Seconds that a long job takes at least. It ends no sooner than the test has seen what it is about."""
SECONDS = 120
PAIRS = 3
ROLLED = (2 * PAIRS, 2 * PAIRS + 1)
WORKER = {"jobTimeoutSeconds": 10 * LONG}


def running(pool: Pool, numbers: range | tuple[int, ...]) -> dict[int, Run]:
    """The runs of these jobs that began and did not end, by job."""
    return {run.n: run for run in pool.runs() if run.n in numbers and run.ended is None}


def test_long_jobs_finish_where_they_began(new_pool: NewPool) -> None:
    shrinking = new_pool("shrinking", "long", WORKER, {"backlogPerReplica": 1, "maxReplicas": 2 * PAIRS})
    rolled = new_pool("rolled", "slow", WORKER, {"backlogPerReplica": 1, "maxReplicas": len(ROLLED)})
    rolled.enqueue(len(ROLLED), first=ROLLED[0], seconds=LONG, release="long")
    # Every other job is short, so that neither the oldest pods nor the youngest become idle.
    for n in range(2 * PAIRS):
        shrinking.enqueue(1, first=n, seconds=0 if n % 2 else LONG, release="short" if n % 2 else "long")

    until(lambda: len(running(rolled, ROLLED)) == len(ROLLED), SECONDS, rolled.story)
    before = running(rolled, ROLLED)
    rolled.patch({"worker": {"jobTimeoutSeconds": 11 * LONG}})
    until(lambda: len(running(shrinking, range(2 * PAIRS))) == 2 * PAIRS, SECONDS, shrinking.story)
    assert_idle_ones_go(shrinking)
    assert_old_ones_drain(rolled, {run.pod for run in before.values()})
    release(rolled.tables, "long")

    rolled.wait_settled(2 * PAIRS + len(ROLLED), 2 * SECONDS)
    assert_each_ran_once(rolled.runs(), 2 * PAIRS + len(ROLLED))
    charged = rolled.tables.query("select distinct attempts, crashes, state from workerpool.history")
    assert charged == [{"attempts": 0, "crashes": 0, "state": "completed"}]
    rolled.wait_asleep(SECONDS)
    shrinking.wait_asleep(SECONDS)


def test_the_busy_pod_that_is_not_ready_yet_stays_and_the_idle_one_goes(new_pool: NewPool) -> None:
    """Kubernetes would end it first, whatever the marks say."""
    pool = new_pool("late", "long", WORKER, {"backlogPerReplica": 1, "maxReplicas": 2})
    # The first question comes before a runner can answer, the second so much later: it works meanwhile.
    pool.patch({"probes": {"startup": {"periodSeconds": 30}}})
    pool.enqueue(1, first=0, seconds=0, release="first")
    until(lambda: len(ready(pool)) == 1, SECONDS, pool.story)
    pool.enqueue(1, first=1, seconds=0, release="second")
    until(lambda: set(running(pool, range(2))) == {0, 1}, SECONDS, pool.story)
    runs = running(pool, range(2))

    release(pool.tables, "first")
    until(lambda: [pod["metadata"]["name"] for pod in pool.pods()] == [runs[1].pod], SECONDS, pool.story)
    assert set(running(pool, (1,))) == {1}
    assert ready(pool) == {runs[1].pod}, "the idle one went before"
    release(pool.tables, "second")
    pool.wait_settled(2, SECONDS)
    assert_each_ran_once(pool.runs(), 2)


def ready(pool: Pool) -> set[str]:
    """The pods that the API server shows as ready and that were not told to end."""
    return {pod["metadata"]["name"] for pod in ready_among(pool.pods())}


def assert_idle_ones_go(pool: Pool) -> None:
    """Marked first, then ended; the others are still there with what they run."""
    spread = running(pool, range(2 * PAIRS))
    idle = {run.pod for n, run in spread.items() if n % 2}
    busy = {run.pod for n, run in spread.items() if not n % 2}
    assert len(idle | busy) == 2 * PAIRS
    with watched_pods(pool) as seen:
        release(pool.tables, "short")
        until(lambda: {pod["metadata"]["name"] for pod in pool.pods()} == busy, SECONDS, pool.story)
        assert set(running(pool, range(2 * PAIRS))) == {0, 2, 4}
        marked = {line.split()[0] for line in seen if line.split()[1:2] == ["-100"]}
        assert marked == idle


def assert_old_ones_drain(pool: Pool, old: set[str]) -> None:
    """New pods are ready, the old ones were told to end, and work on."""

    def all_told() -> bool:
        ending = {pod["metadata"]["name"] for pod in pool.pods() if "deletionTimestamp" in pod["metadata"]}
        return ending == old

    until(all_told, SECONDS, pool.story)
    assert {run.pod for run in running(pool, ROLLED).values()} == old
