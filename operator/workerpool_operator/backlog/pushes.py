"""Pushes that wait for a reading: a flood of jobs is no flood of queries."""

import math

# Seconds between two readings that pushes for one queue cause. The first goes on doubling up to the second while jobs
# keep coming and the pool sleeps all the same: it is paused, or a threshold is not reached.
GAP = 0.1
LONGEST_GAP = 5.0


class Pushes:
    """Which queues were pushed, and when each of them may cause a reading. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        """Nothing was pushed yet."""
        self._waiting: set[str] = set()
        self._gaps: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    def add(self, queue: str) -> bool:
        """Notes a push; False when one waits already."""
        fresh = queue not in self._waiting
        self._waiting.add(queue)
        return fresh

    def woke(self, queue: str) -> None:
        """A pool on this queue runs: the next push that finds it asleep waits for nothing."""
        self._gaps.pop(queue, None)
        self._not_before.pop(queue, None)

    def forget(self, queue: str) -> None:
        """Nobody follows this queue any more."""
        self.woke(queue)
        self._waiting.discard(queue)

    def next(self) -> float:
        """When a reading may begin for the first of those that wait; infinity when none does."""
        return min((self._not_before.get(queue, -math.inf) for queue in self._waiting), default=math.inf)

    def take(self, now: float) -> set[str]:
        """Those for whom a reading begins now."""
        taken = {queue for queue in self._waiting if self._not_before.get(queue, -math.inf) <= now}
        self._waiting -= taken
        for queue in taken:
            quiet = now - self._not_before.get(queue, -math.inf) > LONGEST_GAP
            gap = GAP if quiet else min(LONGEST_GAP, 2 * self._gaps[queue])
            self._gaps[queue], self._not_before[queue] = gap, now + gap
        return taken
