"""The operator's rights are those that it uses: no right too many, no call denied; a scenario that needs them all."""

from collections.abc import Iterator

import pytest

from tests.cluster.api import Cluster
from tests.cluster.images.build import Images
from tests.e2e.kubernetes.conftest import pool_maker
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.release import Operator, installed
from tests.e2e.kubernetes.rights import Right, denied, granted, used
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 40
SETTINGS = {
    "cluster": ["--set=leaderElection.enabled=true"],
    "namespace": ["--set=watchNamespaces={{{namespace}}}", "--set=rbac.secretNames={{queue-db}}"],
}
"""What is given to ``helm install``: the whole cluster with an election, or one namespace and one Secret."""


@pytest.fixture(params=list(SETTINGS))
def installation(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    cluster_images: Images,
    namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Operator]:
    """The chart in one of its modes, for this test."""
    settings = [setting.format(namespace=namespace) for setting in SETTINGS[request.param]]
    with installed(cluster, cluster_images, tmp_path_factory.mktemp("helm"), *settings) as release:
        yield release


def resize(pool: Pool, size: int) -> None:
    """Pins the pool, and returns when that many replicas are ready."""
    pool.cluster.kubectl("scale", f"workerpool/{pool.name}", f"--replicas={size}", pool.place)
    until(lambda: pool.status()["readyReplicas"] == size, 60, pool.story)


def test_every_right_is_used_and_no_call_is_denied(
    installation: Operator, namespace: str, cluster_database: str
) -> None:
    new_pool = pool_maker(installation, namespace, cluster_database)
    pool = new_pool(queue="long", scaling={"maxReplicas": 2, "backlogPerReplica": 1})
    pool.enqueue(JOBS, seconds=0.25)
    pool.wait_settled(JOBS, 90)
    # One pod of two goes: the operator tells Kubernetes which.
    resize(pool, 2)
    resize(pool, 1)
    pool.patch({"replicas": None})
    pool.wait_asleep(60)
    assert_each_ran_once(pool.runs(), JOBS)
    rights = granted(installation)
    assert Right("", "pods", "patch") in rights
    requests = installation.requests()
    assert sorted(rights - used(requests)) == [], "rights that nothing needs"
    assert sorted(used(requests) - rights) == [], "calls for which the chart gives no right"
    assert denied(requests) == []
