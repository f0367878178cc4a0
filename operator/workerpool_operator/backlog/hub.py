"""Backlogs for everyone: pools on the same endpoint share one connection and its readings, whatever their number.

The hub tells a pool (``notify``) when its interval is over, when a push arrives while it sleeps, when a delayed job
comes due for it, and when its backlog becomes known or unknown. It decides nothing.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from workerpool_operator.backlog.line import Line
from workerpool_operator.backlog.reader import OpenReader
from workerpool_operator.backlog.watch import Endpoint, Look, Watch

K = TypeVar("K", bound=Hashable)


class Hub(Generic[K]):
    """Follows the queues of pools, each known by a key."""

    def __init__(self, open_reader: OpenReader, *, steady: Callable[[], float], notify: Callable[[K], None]) -> None:
        """``steady``: seconds of a clock that never jumps. ``notify`` is called from the loop and must not block."""
        self._open_reader = open_reader
        self._steady = steady
        self._notify = notify
        self._lines: dict[Endpoint, Line[K]] = {}
        self._at: dict[K, Endpoint] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def follow(self, key: K, watch: Watch) -> None:
        """Follows a queue for ``key``, or changes how; the same watch again costs nothing.

        Another endpoint (a new password, say) is opened before the old one is closed; what was seen last stays.
        """
        before = self._at.get(key)
        self._at[key] = watch.endpoint
        if watch.endpoint not in self._lines:
            self._lines[watch.endpoint] = Line(watch.endpoint, self._open_reader, self._steady, self._notify)
        line = self._lines[watch.endpoint]
        moved = before is not None and before != watch.endpoint
        line.join(key, watch, self._lines[before].leave(key) if before is not None and moved else None)
        if before is not None and moved:
            self._close_if_empty(before, after=line)

    def forget(self, key: K) -> None:
        """Follows no longer; an endpoint without followers is closed."""
        endpoint = self._at.pop(key, None)
        if endpoint is not None:
            self._lines[endpoint].leave(key)
            self._close_if_empty(endpoint)

    def look(self, key: K) -> Look | None:
        """What was seen last, None before the first reading or for a key that follows nothing."""
        endpoint = self._at.get(key)
        return None if endpoint is None else self._lines[endpoint].look(key)

    def hasten(self, key: K, within: float) -> None:
        """Reads for ``key`` and tells it in ``within`` seconds, once, unless its turn comes before that."""
        if key in self._at:
            self._lines[self._at[key]].hasten(key, within)

    async def refresh(self, key: K) -> Look | None:
        """What a reading says that begins after this call; None for a key that follows nothing (any more)."""
        endpoint = self._at.get(key)
        return None if endpoint is None else await self._lines[endpoint].refresh(key)

    async def aclose(self) -> None:
        """Closes every connection."""
        lines = list(self._lines.values())
        self._lines.clear()
        self._at.clear()
        await asyncio.gather(*(line.close() for line in lines))
        await asyncio.gather(*self._closing)

    def _close_if_empty(self, endpoint: Endpoint, after: Line[K] | None = None) -> None:
        if self._lines[endpoint].empty:
            task = asyncio.create_task(_close(self._lines.pop(endpoint), after), name="close an endpoint")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(line: Line[K], after: Line[K] | None) -> None:
    if after is not None:
        await after.opened.wait()
    await line.close()
