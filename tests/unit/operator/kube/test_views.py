"""Replicas as the policy sees them: pods joined with what their runners told."""

from typing import Any

import pytest

from workerpool_contract.backlog import RunnerReport
from workerpool_operator.kube.objects import PodRecord, PoolKey
from workerpool_operator.kube.views import size_of, stuck_of, trouble_of, views_of
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView, Trouble

POOL = PoolKey("shop", "orders")


def pod(**more: Any) -> PodRecord:
    return PodRecord(name="a", pool=POOL, **more)


def report(busy: int = 0, age: float = 1.0) -> dict[str, RunnerReport]:
    return {"a": RunnerReport(name="a", slots=4, busy=busy, age=age, completed=7, failed=1, service_seconds=0.5)}


@pytest.mark.parametrize(
    ("record", "reports", "state"),
    [
        (pod(ready=True), report(), ReplicaState.READY),
        (pod(ready=True), {}, ReplicaState.SILENT),
        (pod(ready=True), None, ReplicaState.SILENT),
        (pod(ready=True), report(age=90), ReplicaState.SILENT),
        (pod(), {}, ReplicaState.STARTING),
        (pod(), None, ReplicaState.SILENT),
        (pod(waiting="CrashLoopBackOff"), None, ReplicaState.BACKOFF),
        (pod(), report(), ReplicaState.STARTING),
        (pod(), report(age=90), ReplicaState.SILENT),
        (pod(waiting="CrashLoopBackOff"), {}, ReplicaState.BACKOFF),
        (pod(waiting="CrashLoopBackOff"), report(busy=1), ReplicaState.STARTING),
        (pod(waiting="Unschedulable"), {}, ReplicaState.STARTING),
        (pod(ready=True, terminating=True), report(busy=1), ReplicaState.DRAINING),
    ],
)
def test_the_state_of_a_replica(
    record: PodRecord, reports: dict[str, RunnerReport] | None, state: ReplicaState
) -> None:
    (view,) = views_of([record], reports)
    assert view.state is state


def test_figures_come_from_the_report() -> None:
    (view,) = views_of([pod(ready=True)], report(busy=3))
    assert (view.busy, view.slots, view.completed, view.failed, view.service_seconds) == (3, 4, 7, 1, 0.5)


def test_what_nobody_reported_is_unknown_not_zero() -> None:
    (view,) = views_of([pod(ready=True)], {})
    assert view.busy is None


@pytest.mark.parametrize("reports", [None, {}, report(), report(age=90)])
def test_a_pod_is_ready_when_the_kubelet_says_so(reports: dict[str, RunnerReport] | None) -> None:
    assert PoolState(views_of([pod(ready=True)], reports), 1).ready == 1
    assert PoolState(views_of([pod()], reports), 1).ready == 0


def test_a_ready_pod_is_unheard_until_its_first_report() -> None:
    unheard = [
        view.unheard
        for reports in (None, {}, report(), report(age=90))
        for view in views_of([pod(ready=True)], reports)
    ]
    assert unheard == [True, True, False, False]
    assert not any(view.unheard for view in views_of([pod(), pod(ready=True, terminating=True)], {}))


def test_pods_that_ended_are_no_replicas() -> None:
    assert views_of([pod(ended=True)], {}) == ()


def test_a_detail_says_what_a_pod_waits_for() -> None:
    (view,) = views_of([pod(waiting="ImagePullBackOff", message="no such image")], {})
    assert view.detail == "ImagePullBackOff: no such image"


def deployment(*conditions: dict[str, str], replicas: int = 2) -> dict[str, Any]:
    return {"spec": {"replicas": replicas}, "status": {"conditions": list(conditions)}}


FAILURE = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def test_refused_pods_are_trouble() -> None:
    trouble = trouble_of(deployment(FAILURE), (), 2)
    assert trouble is not None
    assert (trouble.reason, trouble.message) == ("FailedCreate", "exceeded quota")


def test_a_rollout_that_does_not_move_is_trouble_only_while_nobody_works() -> None:
    failing = ReplicaView("a", ReplicaState.BACKOFF, detail="ImagePullBackOff: no such image")
    trouble = trouble_of(deployment(STUCK), (failing,), 2)
    assert trouble is not None
    assert trouble.reason == "ProgressDeadlineExceeded"
    assert "no such image" in trouble.message
    assert trouble_of(deployment(STUCK), (ReplicaView("b", ReplicaState.READY), failing), 2) is None
    assert trouble_of(deployment(STUCK), (ReplicaView("b", ReplicaState.SILENT, vouched=True), failing), 2) is None


def test_a_rollout_that_does_not_move_is_told_beside_replicas_that_work() -> None:
    failing = ReplicaView("a", ReplicaState.BACKOFF, detail="ImagePullBackOff: no such image")
    working = ReplicaView("b", ReplicaState.READY)
    rolling = deployment() | {"status": {"replicas": 3, "updatedReplicas": 1}}
    done = deployment() | {"status": {"replicas": 2, "updatedReplicas": 2}}
    assert stuck_of(rolling, (working, failing), 2) == Trouble("ReplicasFailing", "ImagePullBackOff: no such image")
    assert stuck_of(rolling, (working, working), 2) is None
    assert stuck_of(done, (working, failing), 2) is None
    late = stuck_of(deployment(STUCK), (working, working), 2)
    assert late is not None
    assert late.reason == "ProgressDeadlineExceeded"
    assert stuck_of(rolling, (failing,), 0) is None
    assert stuck_of(None, (failing,), 2) is None


def test_a_pool_at_zero_has_no_trouble_with_pods() -> None:
    assert trouble_of(deployment(FAILURE, STUCK), (), 0) is None
    assert trouble_of(None, (), 2) is None


def test_the_size_is_what_the_deployment_was_told() -> None:
    assert size_of(None) == 0
    assert size_of(deployment(replicas=0)) == 0
    assert size_of(deployment(replicas=5)) == 5
