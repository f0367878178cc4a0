"""A pool is deleted: nothing stands in its way, and running jobs finish first."""

from collections.abc import Mapping

import pytest

from tests.chart.helm import NAMESPACE
from tests.e2e.kubernetes.conftest import NewPool, every_source
from tests.e2e.kubernetes.pool import Pool, pool_manifest
from tests.e2e.kubernetes.release import NAME, Operator
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(300)]

SIZE = 3
JOBS = 60
SECONDS = 60
LONG = {"maxReplicas": SIZE, "backlogPerReplica": 1}
# Kubernetes looks again at a namespace that ends after half the time that its pods may take.
DRAIN = {"jobTimeoutSeconds": 12, "drainTimeoutSeconds": 12}
PATIENT = {"jobTimeoutSeconds": 60, "drainTimeoutSeconds": 60}
"""For jobs of ten seconds, that none is cut off by a stall."""


def busy_pool(new_pool: NewPool, seconds: float, worker: Mapping[str, int] = DRAIN) -> Pool:
    """A pool with a running job in each of its replicas, and many more to do."""
    pool = new_pool(queue="long", worker=dict(worker), scaling=LONG)
    pool.enqueue(JOBS, seconds=seconds)
    until(lambda: len({run.pod for run in pool.runs()}) == SIZE, SECONDS, pool.story)
    return pool


def left(pool: Pool) -> list[str]:
    """What there is in the pool's namespace."""
    kinds = "workerpools,deployments,replicasets,pods,poddisruptionbudgets"
    return pool.cluster.kubectl("get", kinds, pool.place, "-o", "name").split()


@every_source
def test_running_jobs_finish_before_a_deleted_pool_is_gone(operator: Operator, new_pool: NewPool) -> None:
    pool = busy_pool(new_pool, 10, PATIENT)
    deployment = pool.deployment()
    assert "finalizers" not in pool.get()["metadata"]
    assert "finalizers" not in deployment["metadata"]
    running = {run.n for run in pool.runs() if run.how is None}
    assert len(running) >= SIZE - 1
    pool.cluster.kubectl("delete", "workerpool", pool.name, pool.place, timeout=SECONDS)
    until(lambda: not left(pool), 2 * SECONDS, lambda: left(pool))
    runs = pool.runs()
    assert {run.n for run in runs if run.how == "finished"} == {run.n for run in runs} >= running
    # Nothing else is gone: what nobody began waits for the next pool of this queue.
    until(lambda: pool.jobs.unfinished() == JOBS - len(runs), SECONDS, pool.jobs.unfinished)
    assert pool.tables.query("select count(*) as n from workerpool.job where boot is not null")[0]["n"] == 0
    operator.pod()


def test_a_pool_of_the_same_name_goes_on_where_the_deleted_one_stopped(operator: Operator, new_pool: NewPool) -> None:
    pool = busy_pool(new_pool, seconds=1)
    pool.cluster.kubectl("delete", "workerpool", pool.name, pool.place)
    operator.cluster.apply(pool_manifest(pool.name, "long", operator.images.example.ref, DRAIN, LONG), pool.namespace)
    pool.wait_settled(JOBS, 120)
    assert {run.how for run in pool.runs()} == {"finished"}
    assert len(pool.runs()) == JOBS


def test_a_namespace_is_deleted_without_an_operator(operator: Operator, new_pool: NewPool) -> None:
    pool = busy_pool(new_pool, seconds=1)
    patience = 2 * SECONDS
    scale = ("scale", "deployment", NAME, f"--namespace={NAMESPACE}")
    operator.cluster.kubectl(*scale, "--replicas=0")
    try:
        until(lambda: not operator.pods(), SECONDS, "the operator is gone")
        pool.cluster.kubectl("delete", "namespace", pool.namespace, f"--timeout={patience}s", timeout=patience + 10)
    finally:
        operator.cluster.kubectl(*scale, "--replicas=1")
        operator.pod()
    assert {run.how for run in pool.runs()} == {"finished"}
