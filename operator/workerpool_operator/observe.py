"""One look at a pool, put together for the policy; and rates from two looks. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workerpool_contract.backlog import Backlog, Reading
from workerpool_operator.decision import Observation
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView

# Seconds after which an older rate counts for about a third.
MEMORY = 5.0
# Below one job in a quarter of an hour a rate is zero.
LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs per second, smoothed: ``finishing`` completed or became dead letters, ``growth`` is that of the queue.

    Kept apart because totals of finished jobs come in late: in the sum, one reading's error undoes the other's.
    """

    finishing: float = 0.0
    growth: float = 0.0

    @property
    def arriving(self) -> float:
        """New jobs per second: those that finished and those by which the queue grew."""
        found = self.finishing + self.growth
        return found if found > LEAST else 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading and when it was taken (seconds of any steady clock)."""

    at: float
    backlog: Backlog


def observation_of(state: PoolState, reading: Reading, rates: Rates | None, *, fresh: bool = True) -> Observation:
    """What the policy needs to know of one pool. ``fresh``: nothing was decided on this reading yet."""
    kept = state.kept
    slots = [view.slots for view in kept if view.slots]
    return Observation(
        reading=reading,
        replicas=state.wanted,
        busy=sum(maybe_busy(view) for view in kept),
        slots=max(slots, default=None),
        service_seconds=_mean_service(kept),
        arrivals_per_second=rates.arriving if rates else None,
        fresh=fresh,
    )


def maybe_busy(view: ReplicaView) -> bool:
    """Running a job, or not answering since it once did: then nobody knows."""
    return bool(view.busy) or view.state is ReplicaState.SILENT


def rates_between(before: Sample, after: Sample, known: Rates | None) -> Rates:
    """Rates from two readings and the rates before. Counts that are only the least say nothing about growth.

    Where nobody knows what is delayed, a retry that comes due counts as a new job.
    """
    span = after.at - before.at
    old, new = before.backlog, after.backlog
    last = known or Rates()
    if span <= 0:
        return last
    weight = 1.0 if known is None else 1 - math.exp(-span / MEMORY)
    finished = max(0, new.completed - old.completed) + max(0, new.dead - old.dead)
    finishing = _smooth(last.finishing, finished / span, weight)
    if any(it.truncated or it.in_flight_unknown for it in (old, new)):
        return Rates(finishing, last.growth)
    grown = new.work - old.work
    if new.delayed is not None and old.delayed is not None:
        grown += new.delayed - old.delayed
    return Rates(finishing, _smooth(last.growth, grown / span, weight))


def _mean_service(views: Sequence[ReplicaView]) -> float | None:
    """Mean time of a job over the replicas, weighted by the jobs that each of them finished."""
    known = [(view.service_seconds, max(1, view.completed)) for view in views if view.service_seconds is not None]
    total = sum(weight for _, weight in known)
    return sum(seconds * weight for seconds, weight in known) / total if known else None


def _smooth(old: float, new: float, weight: float) -> float:
    value = old + weight * (new - old)
    return value if abs(value) > LEAST else 0.0
