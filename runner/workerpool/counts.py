"""How many jobs the queues of a runner hold, for people who ask /metrics for JSON.

The probe thread must not wait for the database: it is given what the main loop read last. Counting a deep queue costs
the server some milliseconds, so it is done often only while somebody asks.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from workerpool.errors import SourceError
from workerpool.exposition import QueueCounts
from workerpool_contract.backlog import Backlog

INTERVAL: Final = 5.0
"""Seconds between two looks while somebody asks."""
IDLE_INTERVAL: Final = 60.0
"""Seconds between two looks otherwise; also how long after the last question somebody counts as asking."""
STALE: Final = 90.0
"""Counts older than this (seconds) are unknown."""


@runtime_checkable
class Countable(Protocol):
    """A source that can count what its queues hold."""

    async def backlog(self) -> Mapping[str, Backlog]:
        """One reading per queue of this runner. Raises SourceError."""
        ...


@dataclass(slots=True)
class QueueCounter:
    """The last counts of a source, or None for one that can't count. ``clock``: monotonic seconds."""

    source: object
    clock: Callable[[], float]
    _counts: QueueCounts | None = None
    _read_at: float = field(default=float("-inf"))
    _asked_at: float = field(default=float("-inf"))

    def latest(self) -> QueueCounts | None:
        """What was read last, None when that is too long ago; callable from any thread, never blocks."""
        self._asked_at = now = self.clock()
        return self._counts if now - self._read_at <= STALE else None

    async def run(self) -> None:
        """Reads until cancelled; a server that is away leaves the last counts as they are."""
        if not isinstance(self.source, Countable):
            await asyncio.Event().wait()
            return
        while True:
            now = self.clock()
            if now - self._asked_at < IDLE_INTERVAL or now - self._read_at >= IDLE_INTERVAL:
                await self._read(self.source)
            await asyncio.sleep(INTERVAL)

    async def _read(self, source: Countable) -> None:
        try:
            readings = (await source.backlog()).values()
        except SourceError:
            return
        self._counts = QueueCounts(
            waiting=sum(it.ready for it in readings),
            active=sum(it.in_flight for it in readings),
            completed=sum(it.completed for it in readings),
            failed=sum(it.failed for it in readings),
            delayed=_sum(it.delayed for it in readings),
        )
        self._read_at = self.clock()


def _sum(counts: Iterable[int | None]) -> int | None:
    """Unknown as soon as one of them is."""
    known = [(0 if count is None else count, count is None) for count in counts]
    return None if any(unknown for _, unknown in known) else sum(count for count, _ in known)
