"""What is held by whom is not always known: then nothing goes that might be needed, and the status says why."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.pools import pool
from workerpool_contract.backlog import Backlog
from workerpool_contract.scaling import Scaling
from workerpool_contract.status import ConditionType, History, WorkerPoolStatus
from workerpool_operator.backlog.watch import Look
from workerpool_operator.decision import Observation
from workerpool_operator.kube.shrink import Sizes, staying
from workerpool_operator.metrics import Metrics, PoolFigures
from workerpool_operator.observe import Rates, Sample, rates_between
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView
from workerpool_operator.policy import decide
from workerpool_operator.report import status_of

WHY = "1 of the consumers of queue q do not say what they hold; the management API can't be reached"
REFUSED = "RabbitMQ at mq:5672, vhost / refused the login; check user and password"
DARK = Backlog(0, in_flight_unknown=WHY)
AT_ONCE = "scaling: {scaleDown: {stabilizationSeconds: 0}}"


def replicas(reading: Backlog, current: int, *, busy: int = 0, spec: str = AT_ONCE) -> int:
    """How many are decided on."""
    return decide(pool(spec).spec, Observation(reading, current, busy), History(), 1000.0).replicas


@pytest.mark.parametrize(("current", "busy", "wanted"), [(3, 0, 1), (1, 0, 1), (0, 0, 0), (5, 2, 2)])
def test_the_last_replica_waits_until_somebody_knows(current: int, busy: int, wanted: int) -> None:
    assert replicas(DARK, current, busy=busy) == wanted
    assert replicas(Backlog(0), current, busy=busy) == busy


def test_it_scales_out_as_ever() -> None:
    assert replicas(Backlog(35, in_flight_unknown=WHY), 1) == 4


def test_the_reason_names_it() -> None:
    decision = decide(pool(AT_ONCE).spec, Observation(DARK, 2), History(), 1000.0)
    assert decision.reason.startswith("0 ready and 0 or more in flight, at 10 per replica: 0")
    assert decision.reason.endswith("then 1: nobody knows what is in flight")


@pytest.mark.parametrize(
    ("reading", "reason", "words"),
    [
        (DARK, "InFlightUnknown", WHY),
        (replace(DARK, indirect=REFUSED, undeclared="no queue q"), "BacklogIndirect", REFUSED),
        (Backlog(0, undeclared="queue q does not exist yet"), "QueueMissing", "queue q does not exist yet"),
        (Backlog(0, age=9.0), "BacklogKnown", "the counts may be some seconds old"),
        (Backlog(0), "BacklogKnown", ""),
    ],
)
def test_the_status_says_what_is_not_known(reading: Backlog, reason: str, words: str) -> None:
    resource = pool(AT_ONCE).model_copy(update={"status": WorkerPoolStatus()})
    decision = decide(resource.spec, Observation(reading, 0), History(), 1000.0)
    status = status_of(resource, PoolState((), 0), reading, decision, datetime.now(UTC))
    active = next(it for it in status.conditions if it.type is ConditionType.SCALING_ACTIVE)
    assert (active.status.value, active.reason, active.message) == ("True", reason, words)


def test_a_scale_in_to_zero_stops_when_the_newest_reading_does_not_know() -> None:
    idle = [ReplicaView("a", ReplicaState.READY, busy=0), ReplicaView("b", ReplicaState.READY, busy=0)]
    assert staying(pool(), Sizes(2, 0), idle, Look(DARK, None, {}, 1.0)) == 1
    assert staying(pool(), Sizes(2, 0), idle, Look(Backlog(0), None, {}, 1.0)) == 0


def test_counts_that_are_not_known_say_nothing_about_growth() -> None:
    known = Rates(2.0, 1.0)
    assert rates_between(Sample(0, Backlog(100)), Sample(5, DARK), known).growth == known.growth
    grown = rates_between(Sample(0, Backlog(0, delayed=None)), Sample(5, Backlog(10, delayed=50)), None)
    assert grown.growth == 2.0


def test_the_metrics_leave_out_what_is_unknown() -> None:
    metrics = Metrics()
    reading = Backlog(4, 2, delayed=None, age=9.5, in_flight_unknown=WHY)
    metrics.show("shop", "orders", PoolFigures(pool(), WorkerPoolStatus(), reading, 1))
    page = metrics.page().decode()
    assert 'workerpool_pool_backlog_age_seconds{namespace="shop",pool="orders"} 9.5' in page
    assert 'workerpool_pool_backlog_ready{namespace="shop",pool="orders"} 4.0' in page
    assert "workerpool_pool_backlog_in_flight{" not in page
    assert "workerpool_pool_backlog_delayed{" not in page


def test_a_target_wait_works_without_the_age_of_the_oldest_job() -> None:
    """A broker does not tell it: what arrives, what waits and how long a job takes are enough."""
    spec = "scaling: {targetWaitSeconds: 10, scaleDown: {stabilizationSeconds: 0}}"

    def wanted(ready: int, rate: float, current: int, **more: Any) -> int:
        seen = Observation(Backlog(ready), current, slots=10, service_seconds=2.0, arrivals_per_second=rate, **more)
        return decide(pool(spec).spec, seen, History(), 1000.0).replicas

    assert Scaling().max_replicas >= 6
    assert wanted(0, 25.0, 5) == 5
    assert wanted(300, 0.0, 1) == 6
    assert wanted(0, 0.0, 3) == 0
    assert wanted(1, 0.0, 0) == 1
