"""A pool's life on a cluster, as far as an API server alone can tell it: its objects, its size, its status."""

import signal

import pytest

from tests.api.operator.conftest import Shop
from workerpool_operator.kube.api import Body

pytestmark = pytest.mark.kubernetes

FOREIGN: Body = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "orders"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "local/web:1"}]},
        },
    },
}


def settled(shop: Shop) -> None:
    """A pool at zero whose backlog is known."""
    shop.secret()
    shop.pool()
    shop.until(lambda: shop.condition("ScalingActive")[0] == "True", "a known backlog")
    shop.until(lambda: shop.size() == 0, "a Deployment of size 0")


def test_a_pool_gets_its_objects(shop: Shop) -> None:
    settled(shop)
    budget = shop.get("poddisruptionbudget")
    assert budget is not None
    pool = shop.get("workerpool")
    assert pool is not None
    for child in (shop.get("deployment"), budget):
        assert child is not None
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("WorkerPool", pool["metadata"]["uid"], True)
        assert "finalizers" not in child["metadata"]
    assert "finalizers" not in pool["metadata"]
    assert "annotations" not in pool["metadata"]


def test_a_backlog_wakes_the_pool_with_one_write_of_its_size(shop: Shop) -> None:
    settled(shop)
    before = shop.writes()
    shop.enqueue(7)
    shop.until(lambda: shop.size() == 7, "seven replicas")
    shop.until(lambda: "ScaledUp" in shop.reasons(), "an event")
    shop.rest()
    written = shop.writes()[len(before) :]
    assert written.count(("patch", "deployments", "orders")) == 1
    assert {resource for _, resource, _ in written} <= {"deployments", "workerpools/status", "events"}
    assert shop.condition("Ready")[1] == "ReplicasStarting"


def test_a_pool_at_rest_causes_no_write(shop: Shop) -> None:
    settled(shop)
    shop.rest()
    before = shop.writes()
    shop.rest(5)
    assert shop.writes() == before


def test_what_is_edited_or_deleted_comes_back(shop: Shop) -> None:
    settled(shop)
    shop.kubectl("delete", "deployment", "orders")
    shop.until(lambda: shop.size() == 0, "the Deployment again")
    shop.kubectl("delete", "poddisruptionbudget", "orders")
    shop.until(lambda: shop.get("poddisruptionbudget") is not None, "the PodDisruptionBudget again")
    shop.kubectl("set", "image", "deployment/orders", "runner=local/other:2")

    def original() -> bool:
        found = shop.get("deployment")
        return found is not None and found["spec"]["template"]["spec"]["containers"][0]["image"] == "local/runner:1"

    shop.until(original, "the image again")
    shop.kubectl("label", "deployment", "orders", "app.kubernetes.io/managed-by-", "--overwrite")

    def labelled() -> bool:
        found = shop.get("deployment")
        return found is not None and "app.kubernetes.io/managed-by" in found["metadata"]["labels"]

    shop.until(labelled, "the label again")
    shop.until(lambda: "ChildRepaired" in shop.reasons(), "an event")


def test_the_deployment_of_somebody_else_is_left_alone(shop: Shop) -> None:
    shop.server.apply(FOREIGN, shop.namespace)
    shop.secret()
    shop.pool()
    shop.until(lambda: shop.condition("Stalled")[:2] == ("True", "NameTaken"), "a stalled pool")
    assert "Deployment" in shop.condition("Stalled")[2]
    found = shop.get("deployment")
    assert found is not None
    assert found["spec"]["selector"] == FOREIGN["spec"]["selector"]
    assert "ownerReferences" not in found["metadata"]
    shop.kubectl("delete", "deployment", "orders")
    shop.until(lambda: shop.size() == 0, "a Deployment of the pool")
    shop.until(lambda: shop.condition("Stalled")[0] == "False", "a pool that goes on")


def test_kubectl_scale_pins_the_size(shop: Shop) -> None:
    settled(shop)
    shop.kubectl("scale", "workerpool/orders", "--replicas=3")
    shop.until(lambda: shop.size() == 3, "three replicas")
    shop.until(lambda: shop.condition("ScalingActive")[1] == "Pinned", "a pinned pool")


def test_a_paused_pool_keeps_its_size(shop: Shop) -> None:
    settled(shop)
    patch = '{"spec":{"scaling":{"pause":{"mode":"Hold"}}}}'
    shop.kubectl("patch", "workerpool", "orders", "--type=merge", f"--patch={patch}")
    shop.enqueue(5)
    shop.until(lambda: shop.condition("ScalingActive")[1] == "Paused", "a paused pool")
    shop.rest()
    assert shop.size() == 0
    shop.kubectl("patch", "workerpool", "orders", "--type=merge", '--patch={"spec":{"scaling":{"pause":null}}}')
    shop.until(lambda: shop.size() == 5, "five replicas")


def test_what_a_pause_holds_is_the_size_that_the_operator_gave(shop: Shop) -> None:
    settled(shop)
    shop.enqueue(5)
    shop.until(lambda: shop.size() == 5, "five replicas")
    pause = '{"spec":{"scaling":{"pause":{"mode":"Hold"}}}}'
    shop.kubectl("patch", "workerpool", "orders", "--type=merge", f"--patch={pause}")
    shop.until(lambda: shop.condition("ScalingActive")[1] == "Paused", "a paused pool")
    shop.kubectl("delete", "deployment", "orders")
    shop.until(lambda: shop.size() is not None, "the Deployment again")
    assert shop.size() == 5
    shop.kubectl("scale", "deployment/orders", "--replicas=0")
    shop.until(lambda: shop.size() == 5, "five again")
    shop.operator.end(signal.SIGKILL)
    shop.kubectl("scale", "deployment/orders", "--replicas=0")
    shop.operator.start()
    shop.until(lambda: shop.size() == 5, "five again after a restart")
    shop.operator.end(signal.SIGKILL)
    shop.kubectl("delete", "deployment", "orders")
    shop.operator.start()
    shop.until(lambda: shop.size() is not None, "the Deployment again after a restart")
    assert shop.size() == 5


def test_a_deleted_pool_is_gone_at_once_and_forgotten(shop: Shop) -> None:
    settled(shop)
    shop.until(lambda: 'pool="orders"' in (shop.operator.page("metrics") or ""), "metrics with the pool")
    shop.kubectl("delete", "workerpool", "orders", "--wait=false")
    assert shop.get("workerpool") is None
    shop.until(lambda: 'pool="orders"' not in (shop.operator.page("metrics") or ""), "metrics without the pool")


def test_a_killed_operator_decides_the_same_after_it_came_back(shop: Shop) -> None:
    settled(shop)
    shop.enqueue(4)
    shop.until(lambda: shop.size() == 4, "four replicas")
    # What follows the size, the event and the status, is written too: nothing of it is left for the next life.
    shop.until(lambda: "ScaledUp" in shop.reasons(), "an event")
    shop.rest()
    shop.operator.end(signal.SIGKILL)
    shop.kubectl("delete", "poddisruptionbudget", "orders")
    before = shop.writes()
    shop.operator.start()
    shop.until(lambda: shop.get("poddisruptionbudget") is not None, "what was deleted meanwhile")
    shop.rest()
    assert shop.size() == 4
    assert set(shop.writes()[len(before) :]) == {("patch", "poddisruptionbudgets", "orders")}


def test_an_operator_that_is_told_to_stop_ends_cleanly(shop: Shop) -> None:
    settled(shop)
    assert shop.operator.end(signal.SIGTERM) == 0
    assert '"level": "ERROR"' not in shop.operator.log()
