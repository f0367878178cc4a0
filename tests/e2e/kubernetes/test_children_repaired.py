"""Somebody edits or deletes what belongs to a pool: it comes back, no running job is harmed, nobody else's object."""

import json
from typing import Any

import pytest

from tests.cluster.local.layout import PAUSE_IMAGE
from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.pool import Pool, pool_manifest
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.supply import Supply
from tests.support.patience import throughout, until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 300
LEAST = 100
SIZE = 2
SECONDS = 60


@pytest.fixture
def jobs(new_pool: NewPool) -> Supply:
    """Those of a pool of two replicas, which is in the middle of them."""
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={"maxReplicas": SIZE, "backlogPerReplica": 1})
    jobs = Supply(pool, seconds=0.25, least=LEAST)
    jobs.add(JOBS)
    until(jobs.during(lambda: pool.settled() > SIZE and pool.status()["readyReplicas"] == SIZE), SECONDS, pool.story)
    return jobs


def uid(pool: Pool, kind: str) -> str:
    """Of the object of this kind that carries the pool's name; empty while there is none."""
    found = pool.cluster.kubectl("get", kind, pool.name, pool.place, "--ignore-not-found", "-o", "json")
    return str(json.loads(found)["metadata"]["uid"]) if found.strip() else ""


def container(pool: Pool) -> dict[str, Any]:
    """The runner's container in the Deployment."""
    (found,) = pool.deployment()["spec"]["template"]["spec"]["containers"]
    return dict(found)


def working_pods(pool: Pool) -> set[str]:
    """Those that are to stay."""
    return {pod["metadata"]["name"] for pod in pool.pods() if "deletionTimestamp" not in pod["metadata"]}


def owners(pool: Pool) -> list[tuple[str, str, bool]]:
    """Kind, uid and whether it is the controller, of whom the Deployment belongs to."""
    found = pool.deployment()["metadata"].get("ownerReferences", [])
    return [(owner["kind"], owner["uid"], owner.get("controller", False)) for owner in found]


def assert_all_done(jobs: Supply) -> None:
    jobs.pool.wait_settled(jobs.count, 2 * SECONDS)
    jobs.pool.wait_asleep(2 * SECONDS)
    assert_each_ran_once(jobs.pool.runs(), jobs.count)


def test_size_image_and_environment_are_put_back(jobs: Supply) -> None:
    busy = jobs.pool
    before = container(busy)
    busy.cluster.kubectl("scale", "deployment", busy.name, "--replicas=5", busy.place)
    until(jobs.during(lambda: busy.size() == SIZE), SECONDS, busy.story)
    busy.cluster.kubectl("set", "image", f"deployment/{busy.name}", "runner=local/other:1", busy.place)
    until(jobs.during(lambda: container(busy) == before), SECONDS, busy.story)
    busy.cluster.kubectl("set", "env", f"deployment/{busy.name}", "WORKERPOOL_QUEUE=other", busy.place)
    until(jobs.during(lambda: container(busy) == before), SECONDS, busy.story)
    assert_all_done(jobs)
    assert "ChildRepaired" in [reason for reason, _ in busy.events()]


def test_deleted_objects_are_made_again(jobs: Supply) -> None:
    busy = jobs.pool
    deployment, budget = uid(busy, "deployment"), uid(busy, "poddisruptionbudget")
    busy.cluster.kubectl("delete", "poddisruptionbudget", busy.name, busy.place)
    until(jobs.during(lambda: uid(busy, "poddisruptionbudget") not in {"", budget}), SECONDS, busy.story)
    pods = working_pods(busy)
    busy.cluster.kubectl("delete", "deployment", busy.name, busy.place)
    until(jobs.during(lambda: uid(busy, "deployment") not in {"", deployment}), SECONDS, busy.story)
    until(jobs.during(lambda: len(working_pods(busy) - pods) == SIZE), SECONDS, busy.story)
    assert_all_done(jobs)


def test_orphaned_pods_work_on_under_a_new_deployment(jobs: Supply) -> None:
    busy = jobs.pool
    deployment, pods = uid(busy, "deployment"), working_pods(busy)
    busy.cluster.kubectl("delete", "deployment", busy.name, "--cascade=orphan", busy.place)
    until(jobs.during(lambda: uid(busy, "deployment") not in {"", deployment}), SECONDS, busy.story)
    assert owners(busy) == [("WorkerPool", busy.get()["metadata"]["uid"], True)]
    until(jobs.during(lambda: busy.deployment()["status"].get("readyReplicas") == SIZE), SECONDS, busy.story)
    assert working_pods(busy) == pods
    assert_all_done(jobs)


def test_a_deployment_of_our_own_without_an_owner_is_taken_in(jobs: Supply) -> None:
    """As a backup brings it back."""
    busy = jobs.pool
    pods = working_pods(busy)
    patch = '--patch=[{"op": "remove", "path": "/metadata/ownerReferences"}]'
    busy.cluster.kubectl("patch", "deployment", busy.name, "--type=json", patch, busy.place)
    until(
        jobs.during(lambda: owners(busy) == [("WorkerPool", busy.get()["metadata"]["uid"], True)]), SECONDS, busy.story
    )
    assert working_pods(busy) == pods
    assert_all_done(jobs)


def test_the_deployment_of_somebody_else_is_left_alone(operator: Operator, new_pool: NewPool) -> None:
    """Its pods run on, and the pool says what is in its way."""
    web = {"name": "web", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [web]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    other = new_pool()
    pool = Pool(operator.cluster, other.namespace, "web", "web", other.tables)
    operator.cluster.apply(foreign, pool.namespace)
    until(lambda: pool.deployment()["status"].get("readyReplicas") == 1, SECONDS, pool.story)
    before = pool.deployment()
    operator.cluster.apply(pool_manifest("web", "web", operator.images.example.ref, {}, {}), pool.namespace)
    until(lambda: pool.condition("Stalled").get("reason") == "NameTaken", SECONDS, pool.story)
    pool.enqueue(10)
    throughout(lambda: pool.deployment() == before, 4, "the other Deployment stays as it is")
    pool.cluster.kubectl("delete", "deployment", "web", pool.place)
    until(lambda: pool.condition("Stalled")["status"] == "False", SECONDS, pool.story)
    assert owners(pool) == [("WorkerPool", pool.get()["metadata"]["uid"], True)]
