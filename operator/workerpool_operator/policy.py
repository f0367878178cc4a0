"""How many replicas a pool gets: `decide`, a pure function of spec, observation, history and time.

The answer passes through the rules below in this order; each one that changes the number is recorded with its reason:

    demand -> activation -> busy floor -> tolerance -> windows -> rate limits -> minimum and maximum -> pause -> maximum

Only a pause overrides the minimum and nothing overrides the maximum. A backlog that nobody knows is never zero: it
holds what runs, and may raise it to the fallback.
"""

from dataclasses import dataclass

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.scaling import Pause, PauseMode, Scaling
from workerpool_contract.spec import WorkerPoolSpec
from workerpool_contract.status import History
from workerpool_operator import windows
from workerpool_operator.decision import ClampKind, Decision, Observation, Proposal, Term
from workerpool_operator.demand import Demand, demand_of, learned_service

# The soonest next look, in seconds: a window that ends in this instant must not make a busy loop.
SHORTEST_CHECK = 0.1


@dataclass(frozen=True, slots=True)
class _Draft:
    """A proposal together with the terms behind it and the history that it leaves."""

    proposal: Proposal
    terms: tuple[Term, ...]
    history: History


def decide(spec: WorkerPoolSpec, observation: Observation, history: History, now: float) -> Decision:
    """The decision for this moment. ``now``: Unix time in seconds. Total: every input has an answer."""
    millis = int(now * windows.MILLIS)
    draft = _draft(spec, observation, history, millis)
    proposal = _limits(draft.proposal, spec, observation.replicas, now)
    after = windows.record_change(draft.history, proposal.replicas - observation.replicas, spec.scaling, millis)
    return Decision(
        replicas=proposal.replicas,
        reason=_reason(draft.terms, proposal),
        terms=draft.terms,
        clamps=proposal.clamps,
        history=after,
        next_check=_next_check(spec.scaling, observation, after, millis),
    )


def _draft(spec: WorkerPoolSpec, observation: Observation, history: History, now: int) -> _Draft:
    reading = observation.reading
    if isinstance(reading, Backlog):
        history = history.model_copy(
            update={"failures": 0, "service_milliseconds": learned_service(observation, history)}
        )
    if spec.replicas is not None:
        kept = windows.remember(history, spec.replicas, observation.replicas, spec.scaling, now)
        term = Term(spec.replicas, f"spec.replicas pins {spec.replicas}")
        return _Draft(Proposal(spec.replicas), (term,), kept)
    if isinstance(reading, Unknown):
        return _in_the_dark(spec.scaling, observation, reading, history)
    return _from_backlog(spec, observation, reading, history, now)


def _in_the_dark(scaling: Scaling, observation: Observation, reading: Unknown, history: History) -> _Draft:
    """Holds; after enough failed readings in a row raises to the fallback."""
    fallback, current = scaling.fallback, observation.replicas
    threshold = fallback.after_failures if fallback else 1
    failures = min(history.failures + observation.fresh, threshold)
    term = Term(current, f"backlog unknown ({reading.reason}): {current} held")
    proposal = Proposal(current)
    if fallback and failures >= threshold:
        words = f"fallback of {fallback.replicas} after {threshold} failed readings"
        proposal = proposal.moved(ClampKind.FALLBACK, max(current, fallback.replicas), words)
    return _Draft(proposal, (term,), history.model_copy(update={"failures": failures}))


def _from_backlog(
    spec: WorkerPoolSpec, observation: Observation, backlog: Backlog, history: History, now: int
) -> _Draft:
    demand = demand_of(spec, observation, backlog, history)
    scaling, current = spec.scaling, observation.replicas
    proposal = _activation(Proposal(demand.replicas), scaling, current, backlog)
    proposal = _floors(proposal, observation, backlog)
    proposal = _tolerance(proposal, scaling, current, demand, backlog)
    # Within the bounds: a recommendation that wanders far above the maximum changes nothing, the status least of all.
    bounded = max(scaling.min_replicas, min(proposal.replicas, scaling.max_replicas))
    history = windows.remember(history, bounded, current, scaling, now)
    proposal = _windows(proposal, scaling, current, history)
    proposal = _rates(proposal, scaling, current, history, now)
    return _Draft(proposal, demand.terms, history)


def _activation(proposal: Proposal, scaling: Scaling, current: int, backlog: Backlog) -> Proposal:
    """A pool at zero stays there until the backlog is larger than the threshold."""
    threshold = scaling.activation_backlog
    if current > 0 or scaling.min_replicas > 0 or backlog.work > threshold:
        return proposal
    return proposal.moved(ClampKind.ACTIVATION, 0, f"asleep until the backlog is above {threshold}")


def _floors(proposal: Proposal, observation: Observation, backlog: Backlog) -> Proposal:
    """Nothing is taken away from a running job, nor on the strength of a count that stopped early."""
    current = observation.replicas
    if backlog.truncated:
        proposal = proposal.moved(
            ClampKind.TRUNCATED, max(proposal.replicas, current), "the count stopped at its limit"
        )
    floor = min(current, max(observation.busy, min(1, backlog.in_flight), int(bool(backlog.in_flight_unknown))))
    return proposal.moved(ClampKind.BUSY, max(proposal.replicas, floor), _held(observation.busy, backlog))


def _held(busy: int, backlog: Backlog) -> str:
    """Why replicas stay that the backlog does not ask for."""
    if busy:
        return f"{busy} busy"
    if backlog.in_flight_unknown:
        return "nobody knows what is in flight"
    return f"{backlog.in_flight} still in flight"


def _tolerance(proposal: Proposal, scaling: Scaling, current: int, demand: Demand, backlog: Backlog) -> Proposal:
    """Small differences change nothing, except to leave zero, to reach a bound, or when jobs already wait too long."""
    wanted = proposal.replicas
    reaches_bound = wanted >= scaling.max_replicas > current or wanted <= scaling.min_replicas < current
    wait = scaling.target_wait_seconds
    too_late = wait is not None and (backlog.oldest_age or 0) > wait and wanted > current
    if current == 0 or reaches_bound or too_late:
        return proposal
    if abs(demand.need / current - 1) * 100 > scaling.tolerance_percent:
        return proposal
    return proposal.moved(ClampKind.TOLERANCE, current, f"within {scaling.tolerance_percent} % of the target")


def _windows(proposal: Proposal, scaling: Scaling, current: int, history: History) -> Proposal:
    """Keeps the present number while it lies between the lowest and the highest recommendation of the windows."""
    low, high = windows.lowest(history), windows.highest(history)
    if max(low, min(current, high)) == history.recommendation:
        return proposal
    if current < low:
        span = scaling.scale_up.stabilization_seconds
        return proposal.moved(ClampKind.UP_WINDOW, low, f"the least asked for in the last {span} s")
    if current > high:
        span = scaling.scale_down.stabilization_seconds
        return proposal.moved(ClampKind.DOWN_WINDOW, high, f"the most asked for in the last {span} s")
    if proposal.replicas > current:
        words = f"as few as {low} asked for in the last {scaling.scale_up.stabilization_seconds} s"
        return proposal.moved(ClampKind.UP_WINDOW, current, words)
    words = f"up to {high} asked for in the last {scaling.scale_down.stabilization_seconds} s"
    return proposal.moved(ClampKind.DOWN_WINDOW, current, words)


def _rates(proposal: Proposal, scaling: Scaling, current: int, history: History, now: int) -> Proposal:
    """Limits how many replicas come or go per period."""
    top = windows.rise_limit(history, scaling, current, now)
    if top is not None and proposal.replicas > max(top, current):
        return proposal.moved(ClampKind.UP_POLICY, top, "scaleUp.policies allow no more yet")
    bottom = windows.fall_limit(history, scaling, current, now)
    if bottom is not None and proposal.replicas < min(bottom, current):
        return proposal.moved(ClampKind.DOWN_POLICY, bottom, "scaleDown.policies allow no fewer yet")
    return proposal


def _limits(proposal: Proposal, spec: WorkerPoolSpec, current: int, now: float) -> Proposal:
    """Minimum, maximum and pause; a pinned pool has no minimum."""
    scaling = spec.scaling
    if spec.replicas is None:
        low = max(proposal.replicas, scaling.min_replicas)
        proposal = proposal.moved(ClampKind.AT_MINIMUM, low, f"minReplicas {scaling.min_replicas}")
    proposal = _at_most(proposal, scaling)
    pause = scaling.pause
    if pause is not None and pause.in_force(now):
        proposal = proposal.moved(ClampKind.PAUSED, _paused(pause, proposal.replicas, current), pause.words)
        proposal = _at_most(proposal, scaling)
    return proposal


def _at_most(proposal: Proposal, scaling: Scaling) -> Proposal:
    most = min(proposal.replicas, scaling.max_replicas)
    return proposal.moved(ClampKind.AT_MAXIMUM, most, f"maxReplicas {scaling.max_replicas}")


def _paused(pause: Pause, wanted: int, current: int) -> int:
    match pause.mode:
        case PauseMode.HOLD:
            return current
        case PauseMode.HOLD_AT:
            return pause.replicas or 0
        case PauseMode.NO_SCALE_IN:
            return max(wanted, current)
        case PauseMode.NO_SCALE_OUT:
            return min(wanted, current)


def _reason(terms: tuple[Term, ...], proposal: Proposal) -> str:
    words = "; ".join(term.words for term in terms)
    return words + "".join(f"; then {clamp.after}: {clamp.words}" for clamp in proposal.clamps)


def _next_check(scaling: Scaling, observation: Observation, history: History, now: int) -> float:
    """The poll interval, or sooner when a delayed job comes due or a window ends before that."""
    times = [float(scaling.poll_interval_seconds)]
    reading = observation.reading
    # While the backlog is unknown no window decides anything, and none is kept up to date.
    if isinstance(reading, Backlog):
        relief = windows.next_relief(history, scaling, now)
        times.extend([] if relief is None else [relief])
        times.extend([] if reading.next_due is None or not observation.fresh else [reading.next_due])
    if scaling.pause is not None and scaling.pause.until is not None:
        left = scaling.pause.until.timestamp() - now / windows.MILLIS
        times.extend([left] if left > 0 else [])
    return max(SHORTEST_CHECK, min(times))
