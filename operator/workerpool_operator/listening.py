"""Replicas that are ready and not heard of yet: when a reading out of turn is worth it. Pure."""

from collections.abc import Iterable

from workerpool_operator.platform import ReplicaView

# Seconds from one reading out of turn to the next, and how many a replica may cause: one that is still not heard of by
# then (an image without a runner, say) is left to the poll interval.
STEP = 1.0
MOST = 10


class Listening:
    """What one pool waits to hear of its replicas."""

    def __init__(self) -> None:
        """Waits for nobody."""
        self._readings: dict[str, int] = {}

    def goes_on(self, views: Iterable[ReplicaView], *, fresh: bool) -> bool:
        """Whether one more reading is worth it. ``fresh``: the views are joined with a reading that is new."""
        unheard = [view.name for view in views if view.unheard]
        self._readings = {name: self._readings.get(name, 0) + fresh for name in unheard}
        return any(readings <= MOST for readings in self._readings.values())
