"""Jobs for a pool that must not run out of them before a test has seen what it is about, however slow the machine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.e2e.kubernetes.pool import Pool

T = TypeVar("T")


@dataclass
class Supply:
    """Jobs of ``seconds`` each, numbered from 0. ``least``: how few may be left before more are added.

    ``count``: how many were enqueued so far.
    """

    pool: Pool
    seconds: float
    least: int
    count: int = 0

    def add(self, more: int) -> None:
        """Enqueues ``more`` jobs."""
        self.pool.enqueue(more, first=self.count, seconds=self.seconds)
        self.count += more

    def during(self, condition: Callable[[], T]) -> Callable[[], T]:
        """The condition, for ``until`` and ``throughout``: no look at it before there is enough to do."""

        def looked() -> T:
            if self.pool.jobs.unfinished() < self.least:
                self.add(2 * self.least)
            return condition()

        return looked
