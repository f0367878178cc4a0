"""Whom to stop when a pool shrinks. Pure."""

from collections.abc import Sequence

from workerpool_operator.platform import ReplicaState, ReplicaView


def victims(views: Sequence[ReplicaView], count: int) -> tuple[str, ...]:
    """Names of the ``count`` replicas to stop: those that don't work, then the idle, then the least busy; newest first.

    ``views`` are in the order in which the replicas were started; draining ones are left out.
    """
    kept = [(index, view) for index, view in enumerate(views) if not view.draining]
    order = sorted(kept, key=lambda pair: (*_value(pair[1]), -pair[0]))
    return tuple(view.name for _, view in order[:count])


def _value(view: ReplicaView) -> tuple[int, int]:
    """What stopping this replica costs: the group that it belongs to, then the jobs that it runs."""
    match view.state:
        case ReplicaState.BACKOFF:
            return 0, 0
        case ReplicaState.STARTING:
            return (2, view.busy) if view.busy else (1, 0)
        case ReplicaState.SILENT:
            return 3, 0
        case _:
            return 2, view.busy or 0
