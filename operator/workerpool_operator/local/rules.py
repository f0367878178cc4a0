"""Decisions of the local platform as pure functions: whom to stop, and how long to wait before a restart."""

from collections.abc import Sequence

from workerpool_operator.platform import ReplicaState, ReplicaView

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
# A runner that worked this long before it ended starts the count of crashes again, in seconds.
STEADY_AFTER = 60.0


def victims(views: Sequence[ReplicaView], count: int) -> tuple[str, ...]:
    """Names of the ``count`` replicas to stop: those that don't work, then the idle, then the least busy; newest first.

    ``views`` are in the order in which the replicas were started; draining ones are left out.
    """
    kept = [(index, view) for index, view in enumerate(views) if not view.draining]
    order = sorted(kept, key=lambda pair: (*_value(pair[1]), -pair[0]))
    return tuple(view.name for _, view in order[:count])


def restart_delay(crashes: int) -> float:
    """Seconds to wait before the next start after ``crashes`` ends in a row (1 or more)."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(crashes - 1, 16))


def crashes_in_a_row(before: int, lived: float) -> int:
    """The count after one more end of a runner that lived ``lived`` seconds."""
    return 1 if lived >= STEADY_AFTER else before + 1


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
