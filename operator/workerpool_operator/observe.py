"""One look at a pool, put together for the policy; and rates from two looks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from workerpool_contract.backlog import Backlog, Reading
from workerpool_operator.decision import Observation
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView

# How much a newer rate counts against the older mean.
SMOOTHING = 0.4


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs per second that arrive and that finish (completed or failed for good), smoothed."""

    arriving: float = 0.0
    finishing: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading and when it was taken (seconds of any steady clock)."""

    at: float
    backlog: Backlog


def observation_of(state: PoolState, reading: Reading, rates: Rates | None) -> Observation:
    """What the policy needs to know of one pool."""
    kept = state.kept
    slots = [view.slots for view in kept if view.slots]
    return Observation(
        reading=reading,
        replicas=len(kept),
        busy=sum(_maybe_busy(view) for view in kept),
        slots=max(slots, default=None),
        service_seconds=_mean_service(kept),
        arrivals_per_second=rates.arriving if rates else None,
    )


def rates_between(before: Sample, after: Sample, known: Rates | None) -> Rates:
    """Rates from two readings: what finished, and that plus what the queue grew by.

    Truncated counts say nothing about growth: the rate of arrival then stays as it was.
    """
    span = after.at - before.at
    old, new = before.backlog, after.backlog
    last = known or Rates()
    if span <= 0:
        return last
    finished = max(0, new.completed - old.completed) + max(0, new.dead - old.dead)
    grown = new.work + new.delayed - old.work - old.delayed
    finishing = _smooth(last.finishing, finished / span, fresh=known is None)
    if old.truncated or new.truncated:
        return Rates(last.arriving, finishing)
    return Rates(_smooth(last.arriving, max(0, finished + grown) / span, fresh=known is None), finishing)


def _maybe_busy(view: ReplicaView) -> bool:
    """Running a job, or not answering since it once did: then nobody knows."""
    return bool(view.busy) or view.state is ReplicaState.SILENT


def _mean_service(views: Sequence[ReplicaView]) -> float | None:
    """Mean time of a job over the replicas, weighted by the jobs that each of them finished."""
    known = [(view.service_seconds, max(1, view.completed)) for view in views if view.service_seconds is not None]
    total = sum(weight for _, weight in known)
    return sum(seconds * weight for seconds, weight in known) / total if known else None


def _smooth(old: float, new: float, *, fresh: bool) -> float:
    value = new if fresh else old + SMOOTHING * (new - old)
    return value if value > 1e-3 else 0.0  # noqa: PLR2004 - below one job in a quarter of an hour it is zero
