"""The status of a pool after a decision: conditions in the manner of Kubernetes, changed only when something changed.

Pure. ``lastTransitionTime`` moves only when a condition's status does, so an unchanged pool keeps an equal status. Of
numbers that move all the time, only larger steps are worth a write: each write is work for everyone who watches pools.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from workerpool_contract import names
from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_contract.scaling import Pause, PauseMode
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
# A count of jobs that moved by no more than this share says nothing new.
STEP = 0.1
_NUMBER = re.compile(r"\d+(\.\d+)?")


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
    active = _active(pool, state, reading, decision, now)
    findings = (_ready(state, decision), active, _limited(decision), _stalled(state))
    return WorkerPoolStatus(
        observed_generation=pool.metadata.generation,
        replicas=len(state.kept),
        ready_replicas=state.ready,
        desired_replicas=decision.replicas,
        selector=f"{names.LABEL_POOL}={pool.metadata.name}",
        reason=decision.reason[:LONGEST],
        backlog=_summary(reading) or before.backlog,
        conditions=tuple(_condition(finding, before, pool.metadata.generation, now) for finding in findings),
        history=decision.history,
    )


def status_document(status: WorkerPoolStatus) -> dict[str, Any]:
    """The status as the API server stores it: camelCase, JSON types, nothing that is unset."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def status_from(document: object) -> WorkerPoolStatus:
    """The status that `status_document` made. Of one that can't be read (another release wrote it) the history is kept.

    A pool must not stop because of what somebody wrote into its status: without a history the windows start anew.
    """
    if not isinstance(document, dict):
        return WorkerPoolStatus()
    for part in (document, {"history": document.get("history", {})}):
        try:
            return WorkerPoolStatus.model_validate(part)
        except ValidationError:
            continue
    return WorkerPoolStatus()


def worth_writing(before: WorkerPoolStatus, after: WorkerPoolStatus) -> bool:
    """Whether ``after`` tells anyone more than ``before``, or the next decision needs it."""
    return _still(before) != _still(after) or _moved(before.backlog, after.backlog)


def _still(status: WorkerPoolStatus) -> WorkerPoolStatus:
    """The status without what moves while nothing changes: counts, ages, and the words that quote them."""
    conditions = tuple(
        condition
        if condition.type is ConditionType.SCALING_ACTIVE
        else condition.model_copy(update={"message": _NUMBER.sub("#", condition.message)})
        for condition in status.conditions
    )
    return status.model_copy(update={"backlog": None, "reason": "", "conditions": conditions})


def _moved(before: BacklogSummary | None, after: BacklogSummary | None) -> bool:
    if before is None or after is None:
        return before is not after
    return before.truncated != after.truncated or any(
        _differs(old, new) for old, new in zip(_counts(before), _counts(after), strict=True)
    )


def _counts(backlog: BacklogSummary) -> tuple[int, ...]:
    """What must not be far off. In flight counts with the ready: a job that is claimed is no news.

    What is unknown counts as nothing here: where many queues share what is delayed, each would be news for all.
    """
    return backlog.ready, backlog.ready + (backlog.in_flight or 0), backlog.delayed or 0, backlog.dead


def _differs(old: int, new: int) -> bool:
    return (old == 0) != (new == 0) or abs(new - old) > STEP * old


def _summary(reading: Reading) -> BacklogSummary | None:
    if isinstance(reading, Unknown):
        return None
    return BacklogSummary(
        ready=reading.ready,
        in_flight=None if reading.in_flight_unknown else reading.in_flight,
        delayed=reading.delayed,
        dead=reading.dead,
        oldest_age_seconds=None if reading.oldest_age is None else max(0, int(reading.oldest_age)),
        truncated=reading.truncated,
    )


def _ready(state: PoolState, decision: Decision) -> _Finding:
    if state.trouble is not None:
        return _Finding(ConditionType.READY, true=False, reason=state.trouble.reason, message=state.trouble.message)
    enough = state.ready >= decision.replicas
    words = f"{state.ready} of {decision.replicas} replicas are ready"
    return _Finding(ConditionType.READY, enough, "ReplicasReady" if enough else "ReplicasStarting", words)


def _active(pool: WorkerPool, state: PoolState, reading: Reading, decision: Decision, now: "datetime") -> _Finding:
    if pool.spec.replicas is not None:
        return _Finding(ConditionType.SCALING_ACTIVE, true=False, reason="Pinned", message="spec.replicas is set")
    pause = pool.spec.scaling.pause
    if pause is not None and _stops(pause, decision, now.timestamp()):
        return _Finding(ConditionType.SCALING_ACTIVE, true=False, reason="Paused", message=pause.words)
    if isinstance(reading, Unknown):
        return _Finding(ConditionType.SCALING_ACTIVE, true=False, reason="BacklogUnknown", message=reading.reason)
    return _known(state, reading)


def _known(state: PoolState, backlog: Backlog) -> _Finding:
    """Scaling works; what is not known beside the backlog is said, the worst of it first."""
    kind = ConditionType.SCALING_ACTIVE
    doubts = (
        _Finding(kind, true=True, reason="BacklogIndirect", message=backlog.indirect),
        _Finding(kind, true=True, reason="InFlightUnknown", message=backlog.in_flight_unknown),
        _Finding(kind, true=True, reason="QueueMissing", message=backlog.undeclared),
        _Finding(kind, true=True, reason="RunnersUnknown", message=state.silence),
    )
    late = "the counts may be some seconds old" if backlog.age else ""
    known = _Finding(kind, true=True, reason="BacklogKnown", message=late)
    return next((doubt for doubt in doubts if doubt.message), known)


def _stops(pause: Pause, decision: Decision, now: float) -> bool:
    """Whether a pause stops scaling: one that holds always does, one for a direction when that was asked for."""
    holds = pause.mode in {PauseMode.HOLD, PauseMode.HOLD_AT}
    clamped = any(clamp.kind is ClampKind.PAUSED for clamp in decision.clamps)
    return clamped or (holds and pause.in_force(now))


def _limited(decision: Decision) -> _Finding:
    for clamp in decision.clamps:
        if clamp.kind in {ClampKind.AT_MAXIMUM, ClampKind.AT_MINIMUM}:
            words = f"{clamp.before} wanted, {clamp.words}"
            return _Finding(ConditionType.SCALING_LIMITED, true=True, reason=clamp.kind.value, message=words)
    return _Finding(ConditionType.SCALING_LIMITED, true=False, reason="WithinBounds")


def _stalled(state: PoolState) -> _Finding:
    trouble = state.trouble or state.stuck
    if trouble is not None:
        return _Finding(ConditionType.STALLED, true=True, reason=trouble.reason, message=trouble.message)
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
