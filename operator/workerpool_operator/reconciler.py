"""One level-based step of the operator, the same on every platform: observe -> decide -> scale -> status -> report."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from workerpool_contract.backlog import Reading
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator import windows
from workerpool_operator.decision import Clamp, ClampKind, Decision
from workerpool_operator.happenings import happenings
from workerpool_operator.observe import Rates, observation_of
from workerpool_operator.platform import Platform, PoolState, Refused
from workerpool_operator.policy import decide
from workerpool_operator.report import status_of, worth_writing


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a pool's queue.

    ``fresh``: nothing was decided on this reading yet. One failed reading counts once towards the fallback, however
    often the pool is looked at.
    """

    reading: Reading
    rates: Rates | None = None
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """What one reconciliation came to.

    ``resource``: the pool with the status that was kept, for the next reconciliation to start from. ``status``: the
    newest, whether it was worth keeping or not. ``next_check``: seconds until the next look. ``refused``: the platform
    would not carry the decision out.
    """

    resource: WorkerPool
    state: PoolState
    status: WorkerPoolStatus
    next_check: float
    refused: bool = False


async def reconcile(pool: WorkerPool, sight: Sight, platform: Platform, now: float) -> Step:
    """Brings ``pool`` closer to what its spec and its queue ask for. ``now``: Unix time in seconds.

    ``pool.status`` is the one that was last kept. What the platform refuses becomes a condition; every other failure
    of the platform is raised, and repeating the call is the cure.
    """
    before = pool.status or WorkerPoolStatus()
    state = await platform.observe(pool)
    decision = decide(
        pool.spec, observation_of(state, sight.reading, sight.rates, fresh=sight.fresh), before.history, now
    )
    refusal = await _carry_out(pool, decision, platform)
    if refusal is not None:
        state = replace(state, trouble=refusal.trouble)
        decision = _not_carried_out(decision, before)
    elif decision.replicas != state.wanted:
        current, state = state.wanted, await platform.observe(pool)
        if state.size is not None and state.size != decision.replicas:
            decision = _carried_out_in_part(pool, decision, before, state.size, state.size - current, now)
    status = status_of(pool, state, sight.reading, decision, datetime.fromtimestamp(int(now), UTC))
    kept = before
    if pool.status is None or worth_writing(before, status):
        await platform.report(pool, status, happenings(before, status, carried_out=refusal is None))
        kept = status
    resource = pool.model_copy(update={"status": kept})
    return Step(resource, state, status, decision.next_check, refused=refusal is not None)


async def _carry_out(pool: WorkerPool, decision: Decision, platform: Platform) -> Refused | None:
    try:
        await platform.scale(pool, decision.replicas)
    except Refused as refusal:
        return refusal
    return None


def _not_carried_out(decision: Decision, before: WorkerPoolStatus) -> Decision:
    """The decision without the change that did not happen: rate limits look back on real changes."""
    history = decision.history.model_copy(update={"changes": before.history.changes})
    return replace(decision, history=history)


def _carried_out_in_part(
    pool: WorkerPool, decision: Decision, before: WorkerPoolStatus, size: int, change: int, now: float
) -> Decision:
    """The decision with the ``size`` that the platform came to, because more runners turned out to be busy."""
    kept = decision.history.model_copy(update={"changes": before.history.changes})
    history = windows.record_change(kept, change, pool.spec.scaling, int(now * windows.MILLIS))
    words = f"{size} kept, for running jobs"
    clamp = Clamp(ClampKind.BUSY, decision.replicas, size, words)
    return replace(
        decision,
        replicas=size,
        reason=f"{decision.reason}; then {size}: {words}",
        clamps=(*decision.clamps, clamp),
        history=history,
    )
