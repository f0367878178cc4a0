"""The status of a pool after a decision: conditions in the manner of Kubernetes, changed only when something changed.

Pure. ``lastTransitionTime`` moves only when a condition's status does, so an unchanged pool keeps an equal status.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workerpool_contract.backlog import Reading, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import (
    BacklogSummary,
    Condition,
    ConditionStatus,
    ConditionType,
    WorkerPoolStatus,
)
from workerpool_operator.decision import ClampKind, Decision
from workerpool_operator.platform import PoolState, ReplicaState

if TYPE_CHECKING:
    from datetime import datetime

LONGEST = 1024


@dataclass(frozen=True, slots=True)
class _Finding:
    """A condition before it is compared with the last one."""

    type: ConditionType
    true: bool
    reason: str
    message: str = ""


def status_of(
    pool: WorkerPool, state: PoolState, reading: Reading, decision: Decision, now: "datetime"
) -> WorkerPoolStatus:
    """The status that follows from one reconciliation; ``pool.status`` is the one before."""
    before = pool.status or WorkerPoolStatus()
    findings = (_ready(state, decision), _active(pool, reading, decision), _limited(decision), _stalled(state))
    return WorkerPoolStatus(
        observed_generation=pool.metadata.generation,
        replicas=len(state.kept),
        ready_replicas=state.ready,
        desired_replicas=decision.replicas,
        selector=before.selector,
        reason=decision.reason[:LONGEST],
        backlog=_summary(reading) or before.backlog,
        conditions=tuple(_condition(finding, before, pool.metadata.generation, now) for finding in findings),
        history=decision.history,
    )


def _summary(reading: Reading) -> BacklogSummary | None:
    if isinstance(reading, Unknown):
        return None
    return BacklogSummary(
        ready=reading.ready,
        in_flight=reading.in_flight,
        delayed=reading.delayed,
        dead=reading.dead,
        oldest_age_seconds=None if reading.oldest_age is None else max(0, int(reading.oldest_age)),
        truncated=reading.truncated,
    )


def _ready(state: PoolState, decision: Decision) -> _Finding:
    enough = state.ready >= decision.replicas
    words = f"{state.ready} of {decision.replicas} replicas are ready"
    return _Finding(ConditionType.READY, enough, "ReplicasReady" if enough else "ReplicasStarting", words)


def _active(pool: WorkerPool, reading: Reading, decision: Decision) -> _Finding:
    if pool.spec.replicas is not None:
        return _Finding(ConditionType.SCALING_ACTIVE, true=False, reason="Pinned", message="spec.replicas is set")
    for clamp in decision.clamps:
        if clamp.kind is ClampKind.PAUSED:
            return _Finding(ConditionType.SCALING_ACTIVE, true=False, reason="Paused", message=clamp.words)
    if isinstance(reading, Unknown):
        return _Finding(ConditionType.SCALING_ACTIVE, true=False, reason="BacklogUnknown", message=reading.reason)
    return _Finding(ConditionType.SCALING_ACTIVE, true=True, reason="BacklogKnown")


def _limited(decision: Decision) -> _Finding:
    for clamp in decision.clamps:
        if clamp.kind in {ClampKind.AT_MAXIMUM, ClampKind.AT_MINIMUM}:
            words = f"{clamp.before} wanted, {clamp.words}"
            return _Finding(ConditionType.SCALING_LIMITED, true=True, reason=clamp.kind.value, message=words)
    return _Finding(ConditionType.SCALING_LIMITED, true=False, reason="WithinBounds")


def _stalled(state: PoolState) -> _Finding:
    failing = [view for view in state.kept if view.state is ReplicaState.BACKOFF]
    if failing and len(failing) == len(state.kept):
        return _Finding(ConditionType.STALLED, true=True, reason="ReplicasFailing", message=failing[0].detail)
    return _Finding(ConditionType.STALLED, true=False, reason="Progressing")


def _condition(finding: _Finding, before: WorkerPoolStatus, generation: int, now: "datetime") -> Condition:
    status = ConditionStatus.TRUE if finding.true else ConditionStatus.FALSE
    old = next((condition for condition in before.conditions if condition.type is finding.type), None)
    return Condition(
        type=finding.type,
        status=status,
        reason=finding.reason,
        message=finding.message[:LONGEST],
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and old.status is status else now,
    )
