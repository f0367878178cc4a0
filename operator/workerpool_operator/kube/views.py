"""The replicas of a pool as the policy sees them: pods, joined with what their runners told the queue. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workerpool_contract.backlog import RunnerReport
from workerpool_operator.kube.objects import PodRecord
from workerpool_operator.platform import ReplicaState, ReplicaView, Trouble

# A runner speaks at least every few seconds; one that was silent this long (in seconds) may be doing anything.
STALE = 30.0
# No node takes the pod: the cluster may be about to add one, so nothing failed yet.
_UNPLACED = frozenset({"Unschedulable", "SchedulerError", "SchedulingGated"})
_LONG = 300


def views_of(pods: Iterable[PodRecord], reports: Mapping[str, RunnerReport] | None) -> tuple[ReplicaView, ...]:
    """One view per pod that has not ended, in the order of ``pods``. ``reports``: by pod, None while unknown."""
    views = (_view(pod, (reports or {}).get(pod.name)) for pod in pods if not pod.ended)
    if reports is not None:
        return tuple(views)
    # A runner may work on though its pod is not ready: without a database, say.
    return tuple(
        replace(view, state=ReplicaState.SILENT) if view.state is ReplicaState.STARTING else view for view in views
    )


def trouble_of(deployment: Mapping[str, Any] | None, views: Sequence[ReplicaView], size: int) -> Trouble | None:
    """What keeps a pool's replicas away: pods that are refused, or a rollout that does not move. None at size 0."""
    if deployment is None or size == 0:
        return None
    failure = _condition(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        return Trouble(_word(failure.get("reason")), str(failure.get("message", ""))[:_LONG])
    return None if any(view.ready for view in views) else _deadline_exceeded(deployment, views)


def stuck_of(deployment: Mapping[str, Any] | None, views: Sequence[ReplicaView], size: int) -> Trouble | None:
    """What keeps new replicas from taking the place of old ones, which still work. None at size 0."""
    if deployment is None or size == 0:
        return None
    status = deployment.get("status", {})
    rolling = status.get("updatedReplicas", 0) < status.get("replicas", 0)
    failing = next((view for view in views if view.state is ReplicaState.BACKOFF), None)
    if rolling and failing is not None:
        return Trouble("ReplicasFailing", failing.detail[:_LONG])
    return _deadline_exceeded(deployment, views)


def _deadline_exceeded(deployment: Mapping[str, Any], views: Sequence[ReplicaView]) -> Trouble | None:
    late = _condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded"
    return Trouble("ProgressDeadlineExceeded", _stuck(views)) if late else None


def _condition(deployment: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = deployment.get("status", {}).get("conditions") or ()
    return next((it for it in conditions if it.get("type") == kind), {})


def size_of(deployment: Mapping[str, Any] | None) -> int:
    """How many replicas a Deployment asks for, 0 when there is none."""
    if deployment is None:
        return 0
    # Kubernetes' own default, should somebody ever see an object before it was filled in.
    size: int = deployment.get("spec", {}).get("replicas", 1)
    return size


def _view(pod: PodRecord, report: RunnerReport | None) -> ReplicaView:
    """The pod with the figures of its runner; without a report nothing is known of what it does."""
    return ReplicaView(
        name=pod.name,
        state=_state(pod, report),
        busy=report.busy if report else None,
        slots=report.slots if report else None,
        completed=report.completed if report else 0,
        failed=report.failed if report else 0,
        service_seconds=report.service_seconds if report else None,
        detail=f"{pod.waiting}: {pod.message}" if pod.waiting else "",
        vouched=pod.ready,
    )


def _state(pod: PodRecord, report: RunnerReport | None) -> ReplicaState:
    if pod.terminating:
        return ReplicaState.DRAINING
    if report is not None and report.age > STALE:
        return ReplicaState.SILENT
    if report is None and pod.ready:
        return ReplicaState.SILENT
    if pod.ready:
        return ReplicaState.READY
    failing = bool(pod.waiting) and pod.waiting not in _UNPLACED
    # A sidecar may crash beside a runner that works: what works is no candidate for removal.
    if failing and not (report and report.busy):
        return ReplicaState.BACKOFF
    return ReplicaState.STARTING


def _stuck(views: Sequence[ReplicaView]) -> str:
    detail = next((view.detail for view in views if view.detail), "no pod became ready")
    return f"the Deployment makes no progress: {detail}"[:_LONG]


def _word(reason: object) -> str:
    return reason if isinstance(reason, str) and reason.isascii() and reason.isalpha() else "ReplicaFailure"
