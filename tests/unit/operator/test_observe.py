"""Observations and rates from what platform and reader say."""

import pytest

from workerpool_contract.backlog import Backlog
from workerpool_operator.observe import Rates, Sample, observation_of, rates_between
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView

READY, SILENT, DRAINING = ReplicaState.READY, ReplicaState.SILENT, ReplicaState.DRAINING


def test_draining_replicas_are_no_capacity_and_silent_ones_may_be_busy() -> None:
    state = PoolState(
        (
            ReplicaView("a-1", READY, busy=2, slots=4, completed=30, service_seconds=1.0),
            ReplicaView("a-2", READY, busy=0, slots=4, completed=10, service_seconds=3.0),
            ReplicaView("a-3", SILENT),
            ReplicaView("a-4", DRAINING, busy=4, slots=4),
            ReplicaView("a-5", ReplicaState.STARTING),
        )
    )
    seen = observation_of(state, Backlog(5), Rates(finishing=2.0, growth=1.0))
    assert (seen.replicas, seen.busy, seen.slots, seen.arrivals_per_second) == (4, 2, 4, 3.0)
    assert seen.service_seconds == pytest.approx(1.5)
    assert state.ready == 2


def test_nothing_known_stays_unknown() -> None:
    seen = observation_of(PoolState(), Backlog(0), None)
    assert (seen.replicas, seen.slots, seen.service_seconds, seen.arrivals_per_second) == (0, None, None, None)


def test_rates_count_what_finished_and_what_the_queue_grew_by() -> None:
    before = Sample(0.0, Backlog(100, 5, completed=50, dead=1))
    after = Sample(2.0, Backlog(110, 5, delayed=2, completed=68, dead=3))
    rates = rates_between(before, after, None)
    assert rates.finishing == 10.0
    assert rates.arriving == 16.0


def test_totals_that_come_late_do_not_look_like_arrivals() -> None:
    """The queue shrinks first and the total of completed jobs follows: over time nothing arrived."""
    rates, before = None, Sample(0.0, Backlog(1000))
    for step in range(1, 40):
        late = 10 * max(0, step - 2)
        after = Sample(float(step), Backlog(1000 - 10 * step, completed=late))
        rates = rates_between(before, after, rates)
        before = after
    assert rates is not None
    assert rates.arriving < 0.1
    assert rates.finishing == pytest.approx(10.0, abs=0.1)


def test_truncated_counts_keep_the_growth_as_it_was() -> None:
    known = Rates(finishing=1.0, growth=2.0)
    after = Sample(1.0, Backlog(10, truncated=True, completed=1))
    assert rates_between(Sample(0.0, Backlog(10)), after, known) == known


def test_rates_fade_to_zero() -> None:
    rates: Rates | None = Rates(finishing=5.0)
    for second in range(100):
        rates = rates_between(Sample(second, Backlog(0)), Sample(second + 1, Backlog(0)), rates)
    assert rates == Rates()
