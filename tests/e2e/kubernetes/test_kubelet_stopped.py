"""A node that says nothing for half a minute, while a pool works and is told to grow."""

import pytest

from tests.cluster.components import Components
from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.containers import restarts
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.supply import Supply
from tests.e2e.kubernetes.watching import steps, watched_size
from tests.support.patience import throughout, until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 400
LEAST = 150
SECONDS = 60
SILENCE = 30
FEW, MANY = 2, 4


def test_the_kubelet_stands_still_for_half_a_minute(
    operator: Operator, new_pool: NewPool, components: Components
) -> None:
    operator_before = operator.pod()
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={"maxReplicas": FEW, "backlogPerReplica": 1})
    jobs = Supply(pool, seconds=0.5, least=LEAST)
    with watched_size(pool) as sizes:
        jobs.add(JOBS)
        started = jobs.during(lambda: pool.settled() > JOBS / 20 and pool.status()["readyReplicas"] == FEW)
        until(started, SECONDS, pool.story)
        with components.paused("kubelet"):
            before = pool.settled()
            pool.patch({"scaling": {"maxReplicas": MANY}})
            until(jobs.during(lambda: steps(sizes) == [0, FEW, MANY]), SECONDS, pool.story)
            throughout(jobs.during(lambda: steps(sizes) == [0, FEW, MANY]), SILENCE, "the size stays")
            assert pool.status()["readyReplicas"] == FEW
            assert pool.condition("Stalled")["status"] == "False"
            assert pool.settled() > before
        until(jobs.during(lambda: pool.status()["readyReplicas"] == MANY), 2 * SECONDS, pool.story)
        assert pool.condition("Ready")["status"] == "True"
        until(jobs.during(lambda: len({run.pod for run in pool.runs()}) == MANY), SECONDS, pool.story)
        assert steps(sizes) == [0, FEW, MANY]
        assert sum(map(restarts, pool.pods())) == 0
        pool.wait_settled(jobs.count, 2 * SECONDS)
    assert_each_ran_once(pool.runs(), jobs.count)
    assert len({run.pod for run in pool.runs()}) == MANY
    assert restarts(operator.pod()) == restarts(operator_before)
