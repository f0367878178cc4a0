"""Status after a decision: conditions with their reasons, and stillness when nothing changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import ConditionStatus, WorkerPoolStatus
from workerpool_operator.observe import observation_of
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView
from workerpool_operator.policy import decide
from workerpool_operator.report import status_of

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
READY = ReplicaView("a-1", ReplicaState.READY, busy=0)
PAST = {"mode": "Hold", "until": "2027-01-15T07:59:59Z"}
FAILING = ReplicaView("a-1", ReplicaState.BACKOFF, detail="ended with code 2: app: no module is named")


def pool(status: WorkerPoolStatus | None = None, **spec: Any) -> WorkerPool:
    """A pool with at most 2 replicas and no window."""
    scaling = {"maxReplicas": 2, "scaleDown": {"stabilizationSeconds": 0}, **spec.pop("scaling", {})}
    body = {"source": {"postgres": {"queue": "q"}}, "worker": {"app": "a"}, "scaling": scaling, **spec}
    manifest = {
        "apiVersion": "workerpool.dev/v1",
        "kind": "WorkerPool",
        "metadata": {"name": "a", "generation": 7},
        "spec": body,
        "status": status,
    }
    return WorkerPool.model_validate(manifest)


def after(given: WorkerPool, reading: Reading, *replicas: ReplicaView, now: datetime = NOW) -> WorkerPoolStatus:
    """The status after one reconciliation of ``given``."""
    state = PoolState(replicas)
    history = (given.status or WorkerPoolStatus()).history
    decision = decide(given.spec, observation_of(state, reading, None), history, now.timestamp())
    return status_of(given, state, reading, decision, now)


def conditions(status: WorkerPoolStatus) -> dict[str, tuple[str, str]]:
    """Type -> (status, reason)."""
    return {c.type.value: (c.status.value, c.reason) for c in status.conditions}


def test_a_pool_whose_runners_are_not_heard_says_why() -> None:
    state = PoolState((READY,), silence="Postgres at db/q forbids it")
    decision = decide(pool().spec, observation_of(state, Backlog(5), None), WorkerPoolStatus().history, NOW.timestamp())
    active = status_of(pool(), state, Backlog(5), decision, NOW).conditions[1]
    assert (active.type, active.status) == ("ScalingActive", "True")
    assert (active.reason, active.message) == ("RunnersUnknown", "Postgres at db/q forbids it")


@pytest.mark.parametrize(
    ("given", "reading", "replicas", "expected"),
    [
        (pool(), Backlog(5), (READY,), {"Ready": ("True", "ReplicasReady"), "ScalingActive": ("True", "BacklogKnown")}),
        (pool(), Backlog(15), (READY,), {"Ready": ("False", "ReplicasStarting")}),
        (pool(), Backlog(500), (READY,), {"ScalingLimited": ("True", "AtMaximum")}),
        (pool(scaling={"minReplicas": 1}), Backlog(0), (READY,), {"ScalingLimited": ("True", "AtMinimum")}),
        (pool(), Unknown("Postgres is away"), (READY,), {"ScalingActive": ("False", "BacklogUnknown")}),
        (pool(replicas=1), Backlog(5), (READY,), {"ScalingActive": ("False", "Pinned")}),
        (pool(scaling={"pause": {"mode": "Hold"}}), Backlog(15), (READY,), {"ScalingActive": ("False", "Paused")}),
        (pool(scaling={"pause": {"mode": "Hold"}}), Backlog(5), (READY,), {"ScalingActive": ("False", "Paused")}),
        (pool(scaling={"pause": PAST}), Backlog(5), (READY,), {"ScalingActive": ("True", "BacklogKnown")}),
        (
            pool(scaling={"pause": {"mode": "NoScaleIn"}}),
            Backlog(5),
            (READY,),
            {"ScalingActive": ("True", "BacklogKnown")},
        ),
        (
            pool(),
            Backlog(5),
            (FAILING,),
            {"Stalled": ("True", "ReplicasFailing"), "Ready": ("False", "ReplicasStarting")},
        ),
    ],
)
def test_conditions(
    given: WorkerPool, reading: Reading, replicas: tuple[ReplicaView, ...], expected: dict[str, tuple[str, str]]
) -> None:
    found = conditions(after(given, reading, *replicas))
    assert found.items() >= expected.items()
    assert list(found) == ["Ready", "ScalingActive", "ScalingLimited", "Stalled"]


def test_an_unchanged_pool_keeps_an_equal_status() -> None:
    """Nothing in a status moves by itself: otherwise every write would cause the next."""
    first = after(pool(), Backlog(5), READY)
    second = after(pool(first), Backlog(5), READY, now=NOW + timedelta(minutes=5))
    assert second == after(pool(second), Backlog(5), READY, now=NOW + timedelta(minutes=10)) == first


def test_transition_time_moves_with_the_condition_only() -> None:
    first = after(pool(), Backlog(5), READY)
    later = NOW + timedelta(seconds=30)
    second = after(pool(first), Unknown("away"), READY, now=later)
    times = {c.type.value: c.last_transition_time for c in second.conditions}
    assert times["ScalingActive"] == later
    assert times["Ready"] == NOW
    assert all(c.observed_generation == 7 for c in second.conditions)


def test_an_unknown_backlog_keeps_the_last_known_summary() -> None:
    first = after(pool(), Backlog(5, 1, oldest_age=3.9), READY)
    second = after(pool(first), Unknown("away"), READY)
    assert second.backlog == first.backlog
    assert second.backlog is not None
    assert second.backlog.oldest_age_seconds == 3
    assert second.conditions[1].status is ConditionStatus.FALSE
    assert second.conditions[1].message == "away"
