"""What users are told once: transitions between two statuses of a pool, and what the operator does besides. Pure.

Every reason is one word of the catalogue below, so that events can be counted and filtered. A status that repeats
itself is no happening.
"""

from enum import StrEnum

from workerpool_contract.secretrefs import SecretUse
from workerpool_contract.status import Condition, ConditionStatus, ConditionType, WorkerPoolStatus
from workerpool_operator.platform import Happening, Severity


class Reason(StrEnum):
    """The catalogue; what stalls a pool is told with the reason of the condition Stalled."""

    SCALED_UP = "ScaledUp"
    SCALED_DOWN = "ScaledDown"
    AT_MAXIMUM = "AtMaximum"
    BACKLOG_UNKNOWN = "BacklogUnknown"
    BACKLOG_KNOWN = "BacklogKnown"
    PAUSED = "Paused"
    RESUMED = "Resumed"
    PINNED = "Pinned"
    UNPINNED = "Unpinned"
    RECOVERED = "Recovered"
    SECRET_ROTATED = "SecretRotated"  # noqa: S105 - a word of the catalogue
    CHILD_REPAIRED = "ChildRepaired"


# ScalingActive: what its reason becomes is told with these words, what it was until then with those.
_ENTERED = {
    "BacklogUnknown": (Severity.WARNING, Reason.BACKLOG_UNKNOWN),
    "Paused": (Severity.NORMAL, Reason.PAUSED),
    "Pinned": (Severity.NORMAL, Reason.PINNED),
}
_LEFT = {
    "BacklogUnknown": (Reason.BACKLOG_KNOWN, "The backlog can be read again"),
    "Paused": (Reason.RESUMED, "Scaling is no longer paused"),
    "Pinned": (Reason.UNPINNED, "spec.replicas is unset; the backlog sets the size again"),
}


def happenings(before: WorkerPoolStatus, after: WorkerPoolStatus, *, carried_out: bool = True) -> tuple[Happening, ...]:
    """What happened between two statuses. ``carried_out``: the platform did what the decision asked for."""
    found = _stalled(before, after)
    found += _active(before, after)
    if carried_out:
        found += _scaled(before, after)
    return (*found, *_limited(before, after))


def secret_rotated(use: SecretUse) -> Happening:
    """A Secret has a new value; runners that get it are replaced one after the other."""
    then = " and the runners are rolled" if use.in_pods else ""
    message = f"Secret {use.name} has a new value under {use.key}; it is used from now on{then}"
    return Happening(Severity.NORMAL, Reason.SECRET_ROTATED, message)


def child_repaired(kind: str, name: str) -> Happening:
    """Somebody changed or deleted an object that belongs to the pool."""
    message = f"{kind} {name} was changed or deleted by somebody else; it was put back (change the pool instead)"
    return Happening(Severity.WARNING, Reason.CHILD_REPAIRED, message)


def _scaled(before: WorkerPoolStatus, after: WorkerPoolStatus) -> tuple[Happening, ...]:
    old, new = before.desired_replicas, after.desired_replicas
    if old == new:
        return ()
    reason, verb = (Reason.SCALED_UP, "up") if new > old else (Reason.SCALED_DOWN, "down")
    return (Happening(Severity.NORMAL, reason, f"Scaled {verb} from {old} to {new}: {after.reason}"),)


def _limited(before: WorkerPoolStatus, after: WorkerPoolStatus) -> tuple[Happening, ...]:
    """Only the maximum is told: a pool that rests at its minimum is nothing to look at."""
    condition = _condition(after, ConditionType.SCALING_LIMITED)
    old = _reason(before, ConditionType.SCALING_LIMITED)
    if condition is None or condition.reason != Reason.AT_MAXIMUM or old == condition.reason:
        return ()
    return (Happening(Severity.WARNING, Reason.AT_MAXIMUM, condition.message),)


def _active(before: WorkerPoolStatus, after: WorkerPoolStatus) -> tuple[Happening, ...]:
    condition = _condition(after, ConditionType.SCALING_ACTIVE)
    old = _reason(before, ConditionType.SCALING_ACTIVE)
    if condition is None or condition.reason == old:
        return ()
    if condition.reason in _ENTERED:
        severity, reason = _ENTERED[condition.reason]
        return (Happening(severity, reason, condition.message),)
    # A spec that can't be used says nothing of what it was before.
    if old in _LEFT and condition.reason != "InvalidSpec":
        left, words = _LEFT[old]
        return (Happening(Severity.NORMAL, left, words),)
    return ()


def _stalled(before: WorkerPoolStatus, after: WorkerPoolStatus) -> tuple[Happening, ...]:
    was, now = _condition(before, ConditionType.STALLED), _condition(after, ConditionType.STALLED)
    old = was.reason if was is not None and was.status is ConditionStatus.TRUE else None
    if now is None or now.status is not ConditionStatus.TRUE:
        return (Happening(Severity.NORMAL, Reason.RECOVERED, f"No longer stalled ({old})"),) if old else ()
    return () if now.reason == old else (Happening(Severity.WARNING, now.reason, now.message),)


def _condition(status: WorkerPoolStatus, kind: ConditionType) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type is kind), None)


def _reason(status: WorkerPoolStatus, kind: ConditionType) -> str:
    condition = _condition(status, kind)
    return condition.reason if condition is not None else ""
