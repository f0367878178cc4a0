"""What a runner says of itself to whoever scales it: on change, now and then, when asked, and at its end."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from workerpool.outcome import Completed, DeadLetter, Expired, Retry, Succeeded
from workerpool.sources.base import Settlement
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import REPORTS
from workerpool_contract.runnerreport import RunnerReport

EVERY: Final = 10.0
"""Seconds between two reports when nothing changes."""
LEAST: Final = 0.5
"""Seconds between two reports when everything does."""
TIMED: Final = frozenset({Succeeded, Completed, Retry, DeadLetter})
"""Outcomes of an attempt whose handler ran."""
SMOOTHING: Final = 0.2


@dataclass(slots=True)
class Totals:
    """Attempts since the start, per queue, and how long they took (``mean``: seconds, moving; None until one ended)."""

    completed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    mean: float | None = None

    @property
    def ended(self) -> int:
        """Attempts since the start."""
        return self.completed.total() + self.failed.total()

    def count(self, settlements: Sequence[Settlement]) -> None:
        """These were carried out."""
        timed, busy = 0, 0.0
        for job, outcome, duration, _ in settlements:
            kind = type(outcome)
            if kind is Succeeded or kind is Completed:
                self.completed[job.queue] += 1
            elif kind is Retry or kind is DeadLetter or kind is Expired:
                self.failed[job.queue] += 1
            if kind in TIMED:
                timed += 1
                busy += duration
        if timed:
            sample = busy / timed
            self.mean = sample if self.mean is None else self.mean + (sample - self.mean) * SMOOTHING


@dataclass(slots=True)
class Reporter:
    """Sends reports. ``current``: what is to be said now. ``clock``: steady seconds."""

    sender: Sender
    current: Callable[[], RunnerReport]
    clock: Callable[[], float]
    _said: RunnerReport | None = None
    _at: float = field(default=float("-inf"))

    async def beat(self) -> None:
        """Reports what has changed, but not too often. Raises SourceError."""
        since = self.clock() - self._at
        if since >= EVERY or (since >= LEAST and self.current() != self._said):
            await self.tell()

    async def tell(self, *, gone: bool = False) -> None:
        """Reports now. Raises SourceError."""
        self._said, self._at = self.current(), self.clock()
        body = replace(self._said, gone=gone).to_json()
        await self.sender.send([Outgoing(REPORTS, "", body, {}, mandatory=False, persistent=False)])
