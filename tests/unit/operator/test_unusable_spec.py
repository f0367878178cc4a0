"""The status of a pool whose spec can't be used."""

from datetime import UTC, datetime

from workerpool_contract.status import ConditionStatus, ConditionType, WorkerPoolStatus
from workerpool_operator.controller import unusable_status
from workerpool_operator.kube.objects import PoolKey, PoolRecord
from workerpool_operator.report import worth_writing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
WORDS = "spec.scaling.maxReplicas: 0 is too small; the least is 1"


def record(generation: int = 4, problem: str = WORDS) -> PoolRecord:
    return PoolRecord(PoolKey("shop", "orders"), "u", generation, False, None, None, problem)


def test_it_is_stalled_and_says_why() -> None:
    status = unusable_status(WorkerPoolStatus(desired_replicas=3), record(), NOW)
    found = {it.type: it for it in status.conditions}
    stalled = found[ConditionType.STALLED]
    assert (stalled.status, stalled.reason, stalled.message) == (ConditionStatus.TRUE, "InvalidSpec", WORDS)
    assert stalled.observed_generation == status.observed_generation == 4
    assert found[ConditionType.READY].status is ConditionStatus.FALSE
    assert status.desired_replicas == 3


def test_the_same_mistake_again_is_not_worth_a_write() -> None:
    first = unusable_status(WorkerPoolStatus(), record(), NOW)
    assert not worth_writing(first, unusable_status(first, record(), LATER))


def test_another_mistake_keeps_the_time_of_the_transition() -> None:
    first = unusable_status(WorkerPoolStatus(), record(), NOW)
    second = unusable_status(first, record(5, "spec.worker.app: is missing"), LATER)
    assert worth_writing(first, second)
    assert {it.last_transition_time for it in second.conditions} == {NOW}
