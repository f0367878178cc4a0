"""Whom to stop first."""

from workerpool_operator.platform import ReplicaState, ReplicaView
from workerpool_operator.victims import victims

VIEWS = (
    ReplicaView("busy-old", ReplicaState.READY, busy=5),
    ReplicaView("idle-old", ReplicaState.READY, busy=0),
    ReplicaView("busy-new", ReplicaState.READY, busy=2),
    ReplicaView("idle-new", ReplicaState.READY, busy=0),
    ReplicaView("leaving", ReplicaState.DRAINING, busy=0),
    ReplicaView("cut-off", ReplicaState.STARTING, busy=1),
    ReplicaView("silent", ReplicaState.SILENT),
    ReplicaView("starting", ReplicaState.STARTING),
    ReplicaView("failing", ReplicaState.BACKOFF),
)


def test_victims_are_the_useless_then_the_idle_then_the_least_busy() -> None:
    order = ["failing", "starting", "idle-new", "idle-old", "cut-off", "busy-new", "busy-old", "silent"]
    for count in range(len(order) + 1):
        assert list(victims(VIEWS, count)) == order[:count]
