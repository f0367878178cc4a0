"""How many replicas a backlog deserves, before any rule limits the answer. Pure.

Two targets, the larger answer holds:

- backlog per replica: need = (ready + in flight) / target;
- wait, by Little's law: need = arrivals x service time / slots (to keep up) + ready x service time / (slots x wait)
  (to work off what already waits, in time).
"""

import math
from dataclasses import dataclass

from workerpool_contract.backlog import Backlog
from workerpool_contract.spec import WorkerPoolSpec
from workerpool_contract.status import History
from workerpool_operator.decision import Observation, Term

# A learned service time is replaced only when it moved by more than this share: noise must not rewrite the status.
SERVICE_DRIFT = 0.2


@dataclass(frozen=True, slots=True)
class Demand:
    """``replicas`` asked for, ``need`` (the same before rounding up, for the tolerance) and the terms behind it."""

    replicas: int
    need: float
    terms: tuple[Term, ...]


def demand_of(spec: WorkerPoolSpec, observation: Observation, backlog: Backlog, history: History) -> Demand:
    """The larger answer of the targets that ``spec`` sets."""
    parts: list[tuple[float, Term]] = []
    target = spec.scaling.effective_backlog_per_replica
    if target is not None:
        parts.append(_by_backlog(backlog, target))
    if spec.scaling.target_wait_seconds is not None:
        parts.append(_by_wait(spec, observation, backlog, history))
    need = max(part[0] for part in parts)
    replicas = max(part[1].replicas for part in parts)
    return Demand(replicas, need, tuple(part[1] for part in parts))


def learned_service(observation: Observation, history: History) -> int | None:
    """The service time to remember, in whole milliseconds (at least 1), with two significant digits."""
    known, seen = history.service_milliseconds, observation.service_seconds
    if seen is None:
        return known
    millis = max(1.0, seen * 1000)
    if known is not None and abs(millis - known) <= SERVICE_DRIFT * known:
        return known
    unit = int(10.0 ** max(0, math.floor(math.log10(millis)) - 1))
    return round(millis / unit) * unit


def _by_backlog(backlog: Backlog, target: int) -> tuple[float, Term]:
    replicas = -(-backlog.work // target)
    words = f"{_work(backlog)}, at {target} per replica: {replicas}"
    return backlog.work / target, Term(replicas, words)


def _by_wait(spec: WorkerPoolSpec, observation: Observation, backlog: Backlog, history: History) -> tuple[float, Term]:
    wait = spec.scaling.target_wait_seconds or 1
    millis = learned_service(observation, history)
    if millis is None:
        return _until_learned(observation, backlog)
    slots = observation.slots or (spec.worker.concurrency or 1) * spec.worker.processes
    rate = observation.arrivals_per_second or 0.0
    service = millis / 1000
    need = rate * service / slots + backlog.ready * service / (slots * wait)
    replicas = max(math.ceil(need), min(1, backlog.work))
    words = (
        f"{backlog.ready} ready within {wait} s and {rate:.3g} new per second, "
        f"{service:.3g} s each in {slots} slots per replica: {replicas}"
    )
    return need, Term(replicas, words)


def _until_learned(observation: Observation, backlog: Backlog) -> tuple[float, Term]:
    replicas = max(observation.replicas, 1) if backlog.work else 0
    return float(replicas), Term(replicas, f"{_work(backlog)}, time per job not known yet: {replicas}")


def _work(backlog: Backlog) -> str:
    more = " or more" if backlog.truncated else ""
    unknown = " or more" if backlog.in_flight_unknown else ""
    return f"{backlog.ready}{more} ready and {backlog.in_flight}{unknown} in flight"
