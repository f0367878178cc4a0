"""Pods, made by hand where no kubelet makes them: whom the operator takes for busy, and whom it lets go."""

import json
from uuid import uuid4

import psycopg
import pytest

from tests.api.operator.conftest import Shop

pytestmark = pytest.mark.kubernetes

COST = "controller.kubernetes.io/pod-deletion-cost"
# Scale-in at once, so that a test needs no patience.
SCALING = {
    "backlogPerReplica": 1,
    "maxReplicas": 5,
    "pollIntervalSeconds": 1,
    "scaleDown": {"stabilizationSeconds": 0},
}


def pod(shop: Shop, name: str) -> None:
    """A ready pod of the pool."""
    labels = {"workerpool.dev/pool": "orders", "app.kubernetes.io/managed-by": "workerpool-operator"}
    container = {"name": "runner", "image": "local/runner:1"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}}
    shop.server.apply({**body, "spec": {"containers": [container]}}, shop.namespace)
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    shop.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")


def runner(shop: Shop, name: str, *, jobs: int = 0) -> None:
    """A runner that introduced itself to the queue; it holds ``jobs`` of the jobs that wait."""
    boot = uuid4()
    with psycopg.connect(shop.database, autocommit=True) as connection:
        connection.execute(
            "insert into workerpool.runner (boot, name, host, pid, queues, slots, busy, version)"
            " values (%s, %s, 'node0', 1, '{orders}', 1, %s, 'test')",
            (boot, name, jobs),
        )
        connection.execute(
            "update workerpool.job set boot = %s, lease_until = now() + interval '1 hour' where id in"
            " (select id from workerpool.job where boot is null or lease_until is null limit %s)",
            (boot, jobs),
        )


def cost(shop: Shop, name: str) -> str | None:
    """What a pod costs to delete."""
    found = shop.get("pod", name)
    assert found is not None
    value: str | None = found["metadata"].get("annotations", {}).get(COST)
    return value


def test_the_idle_go_and_the_busy_stay(shop: Shop) -> None:
    shop.secret()
    shop.enqueue(1)
    shop.pool(scaling=SCALING, replicas=3)
    shop.until(lambda: shop.size() == 3, "three replicas")
    for name in ("orders-a", "orders-b", "orders-c"):
        pod(shop, name)
    runner(shop, "orders-a")
    runner(shop, "orders-b", jobs=1)
    runner(shop, "orders-c")
    shop.until(
        lambda: (shop.get("workerpool") or {}).get("status", {}).get("readyReplicas") == 3, "three ready replicas"
    )
    before = shop.writes()
    shop.kubectl("patch", "workerpool", "orders", "--type=merge", '--patch={"spec":{"replicas":null}}')
    shop.until(lambda: shop.size() == 1, "one replica")
    assert cost(shop, "orders-b") is None
    assert {cost(shop, "orders-a"), cost(shop, "orders-c")} == {"-100"}
    written = [write for write in shop.writes()[len(before) :] if write[1] in {"pods", "deployments"}]
    # One step or two: that depends on when the runners were heard. Each pod is marked once, and before the size falls.
    assert sorted(name for _, kind, name in written if kind == "pods") == ["orders-a", "orders-c"]
    assert written[-1] == ("patch", "deployments", "orders")


def test_a_pod_of_which_nobody_knows_what_it_does_counts_as_busy(shop: Shop) -> None:
    shop.secret()
    shop.pool(scaling=SCALING, replicas=2)
    shop.until(lambda: shop.size() == 2, "two replicas")
    for name in ("orders-a", "orders-b"):
        pod(shop, name)
    runner(shop, "orders-a")
    shop.until(lambda: (shop.get("workerpool") or {}).get("status", {}).get("readyReplicas") == 2, "two ready replicas")
    shop.kubectl("patch", "workerpool", "orders", "--type=merge", '--patch={"spec":{"replicas":null}}')
    shop.until(lambda: shop.size() == 1, "one replica")
    assert cost(shop, "orders-a") == "-100"
    assert cost(shop, "orders-b") is None
    shop.kubectl("delete", "pod", "orders-b", "--force", "--grace-period=0")
    shop.until(lambda: shop.size() == 0, "none")


def test_pods_count_at_once_and_are_heard_soon_whatever_the_poll_interval(shop: Shop) -> None:
    shop.secret()
    shop.pool(scaling={**SCALING, "pollIntervalSeconds": 3600}, replicas=2)
    shop.until(lambda: shop.size() == 2, "two replicas")
    for name in ("orders-a", "orders-b"):
        runner(shop, name)
        pod(shop, name)
    shop.until(lambda: shop.condition("Ready")[0] == "True", "ready")
    shop.kubectl("patch", "workerpool", "orders", "--type=merge", '--patch={"spec":{"replicas":null}}')
    shop.until(lambda: shop.size() == 0, "the idle are known to be idle")


def test_a_database_that_says_nothing_of_runners_is_told_in_a_condition(shop: Shop) -> None:
    with psycopg.connect(shop.database, autocommit=True) as connection:
        connection.execute("drop function workerpool.runners")
    shop.secret()
    shop.pool(scaling={**SCALING, "minReplicas": 1})
    expected = ("True", "RunnersUnknown")
    shop.until(lambda: shop.condition("ScalingActive")[:2] == expected, "the condition")
    assert shop.condition("ScalingActive")[2].endswith("run `workerpool migrate`")
