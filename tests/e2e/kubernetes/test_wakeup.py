"""A pool at zero is woken by the queue itself; and the benchmark that says how soon does what it says."""

import pytest

from benchmarks.wakeup.measure import starts, wakeups
from benchmarks.wakeup.stage import NOWHERE, Stage
from tests.cluster.api import Cluster
from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.watching import steps, watched_size
from tests.support.patience import until
from tests.support.tables import Tables

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(300)]

HOUR = 3600
SECONDS = 60
PODS = 4


def test_pool_wakes_long_before_its_poll_and_in_one_step(new_pool: NewPool) -> None:
    scaling = {"pollIntervalSeconds": HOUR, "backlogPerReplica": 1, "maxReplicas": 2 * PODS}
    pool = new_pool(worker={"podTemplate": NOWHERE}, scaling=scaling)
    with watched_size(pool) as sizes:
        pool.enqueue(PODS)
        until(lambda: sizes[-1] > 0, SECONDS, pool.story)
        assert steps(sizes) == [0, PODS]


@pytest.mark.usefixtures("new_pool")
def test_benchmark_measures(cluster: Cluster, operator: Operator, namespace: str, cluster_database: str) -> None:
    stage = Stage(cluster, operator, namespace, Tables(cluster_database))
    assert all(0 < one.patched < 60_000 for one in wakeups(stage, 3))
    (one,) = starts(stage, 1)
    assert 0 < one.patched < min(one.ready, one.done)
