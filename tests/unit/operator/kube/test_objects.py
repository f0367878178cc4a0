"""Objects of the API server as the operator understands them."""

from typing import Any

import pytest

from workerpool_operator.kube.objects import PodRecord, PoolKey, pod_record, pool_record

SPEC: dict[str, Any] = {"source": {"postgres": {"queue": "orders"}}, "worker": {"app": "shop.workers"}}


def pool(**more: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "orders", "uid": "u-1", "generation": 3, "resourceVersion": "5"}
    return {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": metadata, "spec": SPEC, **more}


def pod(status: dict[str, Any], **metadata: Any) -> PodRecord:
    labels = {"workerpool.dev/pool": "orders"}
    head = {"namespace": "shop", "name": "orders-1", "labels": labels, "creationTimestamp": "2026", **metadata}
    record = pod_record({"metadata": head, "status": status})
    assert record is not None
    return record


def waiting(reason: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {"phase": "Pending", "containerStatuses": [{"name": "runner", "state": state, **more}]}


def test_a_pool_keeps_its_identity() -> None:
    record = pool_record(pool())
    assert (record.key, record.uid, record.generation, record.deleting) == (
        PoolKey("shop", "orders"),
        "u-1",
        3,
        False,
    )
    assert record.pool is not None
    assert record.pool.metadata.generation == 3


def test_a_pool_on_its_way_out_is_seen() -> None:
    body = pool()
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pool_record(body).deleting


def test_a_status_is_read_with_the_pool() -> None:
    record = pool_record(pool(status={"desiredReplicas": 4}))
    assert record.pool is not None
    assert record.pool.status is not None
    assert record.pool.status.desired_replicas == 4


def test_a_status_that_nobody_understands_is_no_fault_of_the_spec() -> None:
    record = pool_record(pool(status={"fromTheFuture": 1, "history": {"recommendation": 7}}))
    assert record.pool is not None
    assert record.status is not None
    assert record.status.history.recommendation == 7
    assert record.problem == ""


def test_a_new_pool_has_no_status() -> None:
    assert pool_record(pool()).status is None


def test_every_mistake_of_a_spec_is_told() -> None:
    record = pool_record(pool(spec={**SPEC, "scaling": {"maxReplicas": 0}, "replicas": -1}))
    assert record.pool is None
    assert "spec.scaling.maxReplicas: 0" in record.problem
    assert "spec.replicas: -1" in record.problem


def test_pods_of_others_are_left_alone() -> None:
    assert pod_record({"metadata": {"namespace": "shop", "name": "web", "labels": {}}}) is None
    assert pod_record({"metadata": {"namespace": "shop", "name": "web"}}) is None


def test_a_ready_pod() -> None:
    record = pod({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    assert record.ready
    assert not record.terminating
    assert record.waiting == ""


def test_a_pod_that_was_told_to_stop_and_one_that_has_ended() -> None:
    assert pod({}, deletionTimestamp="2026").terminating
    assert pod({"phase": "Failed"}).ended
    assert pod({"phase": "Succeeded"}).ended


def test_a_deletion_cost_is_read() -> None:
    assert pod({}, annotations={"controller.kubernetes.io/pod-deletion-cost": "-100"}).cost == "-100"
    assert pod({}, annotations=None).cost is None


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_a_beginning_is_no_trouble(reason: str) -> None:
    assert pod(waiting(reason)).waiting == ""


def test_an_image_that_cannot_be_pulled() -> None:
    record = pod(waiting("ImagePullBackOff", 'Back-off pulling image\n "app:1"'))
    assert (record.waiting, record.message) == ("ImagePullBackOff", 'container runner: Back-off pulling image "app:1"')


def test_a_crash_is_told_by_how_it_ended_not_by_what_it_said() -> None:
    last = {"terminated": {"exitCode": 3, "reason": "Error", "message": "postgresql://u:secret@db/x"}}
    record = pod(waiting("CrashLoopBackOff", "back-off 10s restarting failed container", lastState=last))
    assert record.waiting == "CrashLoopBackOff"
    assert record.message == "container runner: ended with code 3 (Error)"


def container(state: dict[str, Any] | None, code: int, *, ready: bool = False, ends: int = 2) -> dict[str, Any]:
    """A pod whose container ended so many times, with ``code``: just now, or before ``state``."""
    ended = {"terminated": {"exitCode": code, "reason": "Error"}}
    states = {"state": ended} if state is None else {"state": state, "lastState": ended}
    status = {"name": "runner", "ready": ready, "restartCount": ends - (state is None), **states}
    return {"phase": "Running", "containerStatuses": [status]}


def test_a_crash_loop_is_one_trouble_at_every_turn_of_it() -> None:
    crashed = pod(container(None, 3))
    resting = pod(container({"waiting": {"reason": "CrashLoopBackOff"}}, 3))
    running = pod(container({"running": {}}, 3))
    assert crashed == resting == running
    assert running.waiting == "CrashLoopBackOff"


def test_a_container_that_failed_once_is_given_a_second_chance() -> None:
    assert pod(container(None, 137, ends=1)).waiting == ""
    assert pod(container({"running": {}}, 137, ends=1)).waiting == ""


def test_a_container_that_works_again_or_ended_in_good_order_is_no_trouble() -> None:
    assert pod(container({"running": {}}, 3, ready=True)).waiting == ""
    assert pod(container({"running": {}}, 0)).waiting == ""
    assert pod(container(None, 0)).waiting == ""


def test_a_container_before_the_runner_is_looked_at_too() -> None:
    status = waiting("PodInitializing")
    status["initContainerStatuses"] = [{"name": "setup", "state": {"waiting": {"reason": "ErrImagePull"}}}]
    assert pod(status).message == "container setup: ErrImagePull"


def test_passwords_of_urls_are_hidden() -> None:
    record = pod(waiting("CreateContainerError", "bad value postgresql://u:secret@db/x"))
    assert "secret" not in record.message


def test_a_pod_that_no_node_takes() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: cpu"}
    record = pod({"phase": "Pending", "conditions": [scheduled]})
    assert (record.waiting, record.message) == ("Unschedulable", "0/3 nodes: cpu")
