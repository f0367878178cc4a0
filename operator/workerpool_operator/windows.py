"""The memory of decisions: stabilisation windows and rate limits over the recent past. Pure.

Times are Unix milliseconds. Lists stay short: a mark that a newer one outdoes is dropped, and when a list is full two
neighbours are merged to the cautious side (the window lasts longer, the limit is stricter). A mark from the future was
made by a clock that was ahead: it counts from now on, so that it ends.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

from workerpool_contract.scaling import PolicyType, RatePolicy, Scaling, SelectPolicy
from workerpool_contract.status import Change, History, Mark

CAPACITY = 32
MILLIS = 1000

M = TypeVar("M", Mark, Change)


def remember(history: History, recommendation: int, current: int, scaling: Scaling, now: int) -> History:
    """The history with ``recommendation`` as the newest; what it replaces is kept as long as a window needs it.

    At first sight of a pool the ``current`` replicas count as recommended until now, so a window starts and never ends
    there.
    """
    before = current if history.recommendation is None else history.recommendation
    left = () if before == recommendation else (Mark(at=now, replicas=before),)
    peaks = [*history.peaks, *left]
    troughs = [*history.troughs, *left]
    return history.model_copy(
        update={
            "recommendation": recommendation,
            "peaks": _highest(_recent(peaks, scaling.scale_down.stabilization_seconds, now), recommendation),
            "troughs": _lowest(_recent(troughs, scaling.scale_up.stabilization_seconds, now), recommendation),
        }
    )


def highest(history: History) -> int:
    """The highest recommendation inside the window for scaling down."""
    return max([mark.replicas for mark in history.peaks] + [history.recommendation or 0])


def lowest(history: History) -> int:
    """The lowest recommendation inside the window for scaling up."""
    return min([mark.replicas for mark in history.troughs] + [history.recommendation or 0])


def next_relief(history: History, scaling: Scaling, now: int) -> float | None:
    """Seconds until the next mark leaves its window, None when no window holds anything. More than 0."""
    ends = [mark.at + scaling.scale_down.stabilization_seconds * MILLIS for mark in history.peaks]
    ends += [mark.at + scaling.scale_up.stabilization_seconds * MILLIS for mark in history.troughs]
    return min(((end - now) / MILLIS for end in ends if end > now), default=None)


def rise_limit(history: History, scaling: Scaling, current: int, now: int) -> int | None:
    """The most replicas that the rate limits for scaling up allow now, None without limits; never below ``current``."""
    rules = scaling.scale_up
    if not rules.policies:
        return None
    limits = [start + allowed for start, allowed in _budgets(history, rules.policies, current, now)]
    return max(current, max(limits) if rules.select_policy is SelectPolicy.MAX else min(limits))


def fall_limit(history: History, scaling: Scaling, current: int, now: int) -> int | None:
    """The fewest replicas that the rate limits for scaling down allow now, None without limits; at most ``current``."""
    rules = scaling.scale_down
    if not rules.policies:
        return None
    limits = [max(0, start - allowed) for start, allowed in _budgets(history, rules.policies, current, now)]
    return min(current, min(limits) if rules.select_policy is SelectPolicy.MAX else max(limits))


def record_change(history: History, delta: int, scaling: Scaling, now: int) -> History:
    """The history with a change of ``delta`` replicas, when a rate limit will look back at it."""
    periods = [policy.period_seconds for policy in (*scaling.scale_up.policies, *scaling.scale_down.policies)]
    span = max(periods, default=0)
    kept = _recent(history.changes, span, now)
    if delta and span:
        kept.append(Change(at=now, delta=delta))
    while len(kept) > CAPACITY:
        kept[:2] = [Change(at=kept[1].at, delta=kept[0].delta + kept[1].delta)]
    return history.model_copy(update={"changes": tuple(kept)})


def _budgets(history: History, policies: tuple[RatePolicy, ...], current: int, now: int) -> Iterator[tuple[int, int]]:
    """Replicas at the start of each policy's period, and how many may come or go in it."""
    for policy in policies:
        since = now - policy.period_seconds * MILLIS
        start = max(0, current - sum(change.delta for change in history.changes if change.at > since))
        if policy.type is PolicyType.REPLICAS:
            yield start, policy.value
        else:
            # Rounded up and at least one: a share of nothing must not lock a pool at zero.
            yield start, max(1, -(-start * policy.value // 100))


def _recent(marks: Iterable[M], window: int, now: int) -> list[M]:
    recent = [mark for mark in marks if mark.at > now - window * MILLIS]
    return [mark if mark.at <= now else mark.model_copy(update={"at": now}) for mark in recent]


def _highest(marks: list[Mark], newest: int) -> tuple[Mark, ...]:
    kept: list[Mark] = []
    for mark in marks:
        while kept and kept[-1].replicas <= mark.replicas:
            kept.pop()
        if mark.replicas > newest:
            kept.append(mark)
    return _short(kept)


def _lowest(marks: list[Mark], newest: int) -> tuple[Mark, ...]:
    kept: list[Mark] = []
    for mark in marks:
        while kept and kept[-1].replicas >= mark.replicas:
            kept.pop()
        if mark.replicas < newest:
            kept.append(mark)
    return _short(kept)


def _short(marks: list[Mark]) -> tuple[Mark, ...]:
    # The older mark of a pair is the more extreme one: it stays, with the newer time.
    while len(marks) > CAPACITY:
        index = min(range(len(marks) - 1), key=lambda i: abs(marks[i].replicas - marks[i + 1].replicas))
        older, newer = list(pairwise(marks))[index]
        marks[index : index + 2] = [Mark(at=newer.at, replicas=older.replicas)]
    return tuple(marks)
