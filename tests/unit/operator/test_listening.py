"""Readings out of turn for replicas that were not heard of yet."""

from workerpool_operator.listening import MOST, Listening
from workerpool_operator.platform import ReplicaState, ReplicaView


def silent(name: str) -> ReplicaView:
    """A pod that is ready; nothing was heard of it."""
    return ReplicaView(name, ReplicaState.SILENT, vouched=True)


HEARD = ReplicaView("heard", ReplicaState.READY, busy=0, vouched=True)


def test_nobody_waits_for_what_was_heard_or_is_not_ready() -> None:
    assert not Listening().goes_on([], fresh=True)
    assert not Listening().goes_on([HEARD, ReplicaView("new", ReplicaState.STARTING)], fresh=True)


def test_one_that_never_speaks_causes_a_few_readings_and_no_more() -> None:
    listening = Listening()
    assert sum(listening.goes_on([silent("a"), HEARD], fresh=True) for _ in range(100)) == MOST


def test_only_readings_count_not_every_look() -> None:
    listening = Listening()
    assert all(listening.goes_on([silent("a")], fresh=False) for _ in range(100))


def test_a_new_one_is_waited_for_beside_one_that_never_speaks() -> None:
    listening = Listening()
    for _ in range(100):
        listening.goes_on([silent("a")], fresh=True)
    assert listening.goes_on([silent("a"), silent("b")], fresh=True)
    assert not listening.goes_on([silent("a"), HEARD], fresh=True)
