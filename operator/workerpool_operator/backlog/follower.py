"""One pool that follows a queue: when it is due, what it saw last, and who waits for its next reading."""

import math
from asyncio import Future
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from workerpool_contract.backlog import Backlog, Reading, RunnerReport, Unknown
from workerpool_operator.backlog.watch import Look, Watch
from workerpool_operator.observe import Rates, Sample, rates_between

# A delayed job that wakes a pool is looked for no more often than this, in seconds.
SHORTEST = 0.25


@dataclass(slots=True)
class Follower:
    """A watch and what came of it. ``due``: when its pool wants to be told next, by the hub's clock.

    ``glance``: when it is to be read next without being told, unless there is more to do.
    """

    watch: Watch
    due: float
    look: Look | None = None
    glance: float = math.inf
    waiting: list[Future[Look | None]] = field(default_factory=list)
    _sample: Sample | None = None
    _rates: Rates | None = None
    _told_work: int = 0

    def change(self, watch: Watch, now: float) -> None:
        """Follows ``watch`` instead, of the same endpoint and queue.

        Falling asleep asks for a reading at once: a push that came while the pool was awake has been ignored.
        """
        slept, self.watch = self.watch.asleep, watch
        self.glance = math.inf
        self.due = now if watch.asleep and not slept else min(self.due, now + watch.interval)

    def take(
        self, reading: Reading, reports: Mapping[str, RunnerReport] | Unknown | None, now: float, *, tell: bool
    ) -> bool:
        """Keeps a reading; whether the pool must be told.

        ``tell``: its turn has come. Besides, it is told when the backlog becomes known or unknown. One that sleeps is
        told of any work: a push may have been missed. One that is glanced at is told of more work than it knows of.
        """
        before = self.look
        if isinstance(reading, Backlog):
            sample = Sample(now, reading)
            if self._sample is not None:
                self._rates = rates_between(self._sample, sample, self._rates)
            self._sample = sample
        if isinstance(reports, Unknown):
            self.look = Look(reading, self._rates, None, now, "" if self.watch.asleep else reports.reason)
        else:
            self.look = Look(reading, self._rates, reports, now)
        turned = before is None or isinstance(before.reading, Unknown) != isinstance(reading, Unknown)
        told = tell or turned or self._has_news(reading)
        if told:
            self.due = now + self.watch.interval
        if isinstance(reading, Backlog):
            self._told_work = reading.work if told else min(self._told_work, reading.work)
        if self.watch.asleep and isinstance(reading, Backlog) and reading.next_due is not None:
            self.due = min(self.due, now + max(SHORTEST, reading.next_due))
        return told

    def look_again(self, now: float, cost: float) -> None:
        """Sets the time of the next glance. ``cost``: seconds that it has to be away at least."""
        self.glance = now + max(self.watch.glance, cost) if self.watch.asleep else math.inf

    def _has_news(self, reading: Reading) -> bool:
        known = 0 if math.isinf(self.watch.glance) else self._told_work
        return self.watch.asleep and isinstance(reading, Backlog) and reading.work > known

    def asked(self) -> list[Future[Look | None]]:
        """Those who wait for the reading that begins now; who comes later waits for the next."""
        waiting, self.waiting = self.waiting, []
        return waiting


def answer(futures: Iterable[Future[Look | None]], look: Look | None) -> None:
    """Answers those who still wait."""
    for future in futures:
        if not future.done():
            future.set_result(look)
