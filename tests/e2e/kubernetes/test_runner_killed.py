"""A runner is killed -9 in the middle of 2,000 jobs: only what it held runs again."""

from collections import Counter
from datetime import timedelta

import pytest

from tests.e2e.kubernetes.conftest import NewPool, every_source
from tests.e2e.kubernetes.containers import kill_container, restarts
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.runs import Run
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 2000
PODS = 3
UNTOLD = timedelta(seconds=2)
"""The longest that the end of a job waits to be told together with others."""


def killed(pool: Pool) -> tuple[str, set[int]]:
    """Kills the runner of a pod without a word; the name of the pod, and the jobs that it may have held."""
    busy = {run.pod for run in pool.runs()}
    victim = next(pod for pod in pool.pods() if pod["metadata"]["name"] in busy)
    name = str(victim["metadata"]["name"])
    kill_container(victim, "runner")
    return name, unsettled(pool.runs(), name)


def unsettled(runs: list[Run], pod: str) -> set[int]:
    """The jobs of a pod that was killed just now whose ends it may not have told."""
    mine = [run for run in runs if run.pod == pod]
    last = max(run.ended or run.began for run in mine)
    return {run.n for run in mine if run.ended is None or run.ended > last - UNTOLD}


def assert_only_held_jobs_ran_again(runs: list[Run], victim: str, held: set[int]) -> None:
    times = Counter(run.n for run in runs)
    assert set(times) == set(range(JOBS)), "lost"
    assert max(times.values()) <= 2
    again = {n for n, seen in times.items() if seen == 2}
    assert again <= held
    assert {run.pod for run in runs if run.how != "finished"} <= {victim}
    first = {n: next(run for run in runs if run.n == n) for n in again}
    assert {run.pod for run in first.values()} <= {victim}


@every_source
def test_kill_9_in_the_middle(new_pool: NewPool) -> None:
    pool = new_pool(scaling={"backlogPerReplica": JOBS // PODS, "maxReplicas": PODS})
    pool.enqueue(JOBS, seconds=0.03)
    until(lambda: pool.settled() > JOBS / 10, 60, pool.story)
    victim, held = killed(pool)
    assert held
    until(lambda: {p["metadata"]["name"]: restarts(p) for p in pool.pods()}.get(victim) == 1, 60, pool.story)
    pool.wait_settled(JOBS, 240)
    pool.wait_asleep(60)
    assert_only_held_jobs_ran_again(pool.runs(), victim, held)
