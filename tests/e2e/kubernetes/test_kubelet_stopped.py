"""A node that says nothing for half a minute, while a pool works and is told to grow."""

import pytest

from tests.cluster.components import Components
from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.containers import restarts
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.watching import steps, watched_size
from tests.support.patience import throughout, until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(300)]

JOBS = 500
SILENCE = 30
FEW, MANY = 2, 4


def test_the_kubelet_stands_still_for_half_a_minute(
    operator: Operator, new_pool: NewPool, components: Components
) -> None:
    operator_before = operator.pod()
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={"maxReplicas": FEW, "backlogPerReplica": 1})
    with watched_size(pool) as sizes:
        pool.enqueue(JOBS, seconds=0.5)
        until(lambda: pool.settled() > JOBS / 20 and pool.status()["readyReplicas"] == FEW, 60, pool.story)
        with components.paused("kubelet"):
            before = pool.settled()
            pool.patch({"scaling": {"maxReplicas": MANY}})
            until(lambda: steps(sizes) == [0, FEW, MANY], 20, pool.story)
            throughout(lambda: steps(sizes) == [0, FEW, MANY], SILENCE, "the size stays")
            assert pool.status()["readyReplicas"] == FEW
            assert pool.condition("Stalled")["status"] == "False"
            assert pool.settled() > before
        until(lambda: pool.status()["readyReplicas"] == MANY, 60, pool.story)
        assert pool.condition("Ready")["status"] == "True"
        until(lambda: pool.settled() > JOBS - 4 * MANY, 120, pool.story)
        assert steps(sizes) == [0, FEW, MANY]
        assert sum(map(restarts, pool.pods())) == 0
        pool.wait_settled(JOBS, 60)
    assert_each_ran_once(pool.runs(), JOBS)
    assert len({run.pod for run in pool.runs()}) == MANY
    assert restarts(operator.pod()) == restarts(operator_before)
