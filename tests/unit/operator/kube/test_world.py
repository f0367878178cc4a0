"""What the operator knows of the cluster: the newest version of everything, whoever told it and in whatever order."""

from typing import Any

from workerpool_operator.kube.api import DEPLOYMENTS, PODS, POOLS
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.world import World

KEY = PoolKey("shop", "orders")
SPEC: dict[str, Any] = {
    "source": {"postgres": {"queue": "orders", "urlSecretRef": {"name": "queue-db"}}},
    "worker": {"app": "shop.workers"},
}


def body(version: int, name: str = "orders", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "workerpool.dev/v1",
        "kind": "WorkerPool",
        "metadata": {"namespace": "shop", "name": name, "uid": "u-1", "resourceVersion": str(version), **more},
        "spec": SPEC,
    }


def deployment(version: int, replicas: int) -> dict[str, Any]:
    return body(version) | {"kind": "Deployment", "spec": {"replicas": replicas}}


def pod(version: int, name: str = "orders-1", **status: Any) -> dict[str, Any]:
    labels = {"workerpool.dev/pool": "orders"}
    return body(version, name, labels=labels, creationTimestamp="2026-01-01T00:00:00Z") | {"status": status}


def size(world: World) -> int | None:
    known = world.deployment(KEY)
    return None if known is None else known["spec"]["replicas"]


def test_an_object_concerns_the_pool_of_its_name() -> None:
    world = World()
    assert world.put(DEPLOYMENTS, deployment(1, 3)) == {KEY}
    assert size(world) == 3


def test_an_older_version_changes_nothing() -> None:
    world = World()
    world.put(DEPLOYMENTS, deployment(7, 3))
    assert world.put(DEPLOYMENTS, deployment(6, 1)) == set()
    assert world.put(DEPLOYMENTS, deployment(7, 3)) == set()
    assert size(world) == 3


def test_what_was_deleted_does_not_come_back_with_old_news() -> None:
    world = World()
    world.put(DEPLOYMENTS, deployment(7, 3))
    assert world.drop(DEPLOYMENTS, deployment(9, 3)) == {KEY}
    assert world.put(DEPLOYMENTS, deployment(8, 3)) == set()
    assert size(world) is None
    assert world.put(DEPLOYMENTS, deployment(10, 1)) == {KEY}
    assert size(world) == 1


def test_the_end_of_an_older_object_leaves_its_successor() -> None:
    world = World()
    world.put(DEPLOYMENTS, deployment(10, 1))
    assert world.drop(DEPLOYMENTS, deployment(9, 3)) == set()
    assert size(world) == 1


def test_a_listing_finds_what_vanished_unseen() -> None:
    world = World()
    world.put(DEPLOYMENTS, deployment(7, 3))
    before = world.versions(DEPLOYMENTS)
    assert world.listed(DEPLOYMENTS, [], before) == {KEY}
    assert size(world) is None


def test_a_listing_that_is_late_removes_nothing_newer() -> None:
    world = World()
    before = world.versions(DEPLOYMENTS)
    world.put(DEPLOYMENTS, deployment(7, 3))
    assert world.listed(DEPLOYMENTS, [], before) == set()
    before = world.versions(DEPLOYMENTS)
    world.put(DEPLOYMENTS, deployment(8, 4))
    assert world.listed(DEPLOYMENTS, [], before) == set()
    assert world.listed(DEPLOYMENTS, [deployment(7, 3)], world.versions(DEPLOYMENTS)) == set()
    assert size(world) == 4


def test_pods_are_found_by_their_pool_the_oldest_first() -> None:
    world = World()
    old = pod(1, "orders-z")
    young = pod(2, "orders-a")
    young["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    assert world.put(PODS, young) == {KEY}
    assert world.put(PODS, old) == {KEY}
    assert [it.name for it in world.pods(KEY)] == ["orders-z", "orders-a"]
    assert world.drop(PODS, pod(5, "orders-z")) == {KEY}
    assert [it.name for it in world.pods(KEY)] == ["orders-a"]
    assert world.drop(PODS, pod(6, "orders-a")) == {KEY}
    assert world.pods(KEY) == ()


def test_a_change_of_a_pod_that_does_not_matter_concerns_nobody() -> None:
    world = World()
    world.put(PODS, pod(1, phase="Running"))
    assert world.put(PODS, pod(2, phase="Running", podIP="10.0.0.7")) == set()


def test_a_pod_that_moves_to_another_pool_concerns_both() -> None:
    world = World()
    world.put(PODS, pod(1))
    moved = pod(2)
    moved["metadata"]["labels"] = {"workerpool.dev/pool": "mail"}
    assert world.put(PODS, moved) == {KEY, PoolKey("shop", "mail")}
    assert world.pods(KEY) == ()


def test_pools_are_kept_as_they_were_understood() -> None:
    world = World()
    good, bad = body(1), body(2, "broken")
    bad["spec"] = {**SPEC, "scaling": {"maxReplicas": 0}}
    world.put(POOLS, good)
    world.put(POOLS, bad)
    assert world.count() == 2
    understood = world.pool(KEY)
    assert understood is not None
    assert understood.pool is not None
    record = world.pool(PoolKey("shop", "broken"))
    assert record is not None
    assert record.pool is None
    assert "spec.scaling.maxReplicas: 0 is too small; the least is 1" in record.problem
