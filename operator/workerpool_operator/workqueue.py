"""A queue of keys, level-based: what is queued is "look at this again", never what happened to it.

A key waits at most once and is worked on by one worker at a time; added again meanwhile, it runs once more after that.
A handler says when it wants to look again; one that raises is tried again after a delay that doubles per key.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Handler = Callable[[K], Awaitable[float | None]]

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
# The longest time that the dispatcher rests, in seconds: its beat is what health looks at.
BEAT = 1.0

logger = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """Keys that wait, are due later, or are worked on. Use it from one event loop.

    ``steady``: seconds of a clock that never jumps. ``on_error``: told the key and the exception of a failed run; by
    default it is logged.
    """

    def __init__(
        self, *, steady: Callable[[], float], on_error: Callable[[K, Exception, float], None] | None = None
    ) -> None:
        """Nothing runs before `run`; keys may be added at any time."""
        self._steady = steady
        self._on_error = on_error or _log
        self._ready: asyncio.Queue[K | None] = asyncio.Queue()
        self._waiting: set[K] = set()
        self._later: dict[K, float] = {}
        self._running: dict[K, float] = {}
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._sooner = asyncio.Event()
        self._closed = False
        self.last_beat = steady()

    def add(self, key: K) -> None:
        """Has ``key`` worked on as soon as a worker is free; what was due later for it is covered by that."""
        self._later.pop(key, None)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Has ``key`` worked on after ``seconds``; of several such wishes the earliest holds."""
        due = self._steady() + seconds
        if key in self._waiting or key in self._again or due >= self._later.get(key, float("inf")):
            return
        self._later[key] = due
        self._sooner.set()

    def depth(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._waiting)

    def longest_run(self) -> float:
        """Seconds since the oldest run in progress began, 0 when nothing runs."""
        return max((self._steady() - began for began in self._running.values()), default=0.0)

    def close(self) -> None:
        """Lets `run` return once the runs in progress are over; keys that still wait are left."""
        self._closed = True
        self._sooner.set()
        self._ready.put_nowait(None)

    async def run(self, handler: Handler[K], workers: int) -> None:
        """Works on keys with ``workers`` at a time until `close`.

        ``handler`` returns the seconds until it wants to see the key again, or None for "when it is added".
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dispatch())
            for _ in range(workers):
                group.create_task(self._work(handler))

    async def _dispatch(self) -> None:
        """Moves what has come due to the waiting keys."""
        while not self._closed:
            self._sooner.clear()
            self.last_beat = now = self._steady()
            for key in [key for key, due in self._later.items() if due <= now]:
                self.add(key)
            pause = min([due - now for due in self._later.values()] + [BEAT])
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which up to Python 3.11 loses a cancellation that comes together with the event.
                async with asyncio.timeout(pause):
                    await self._sooner.wait()

    async def _work(self, handler: Handler[K]) -> None:
        while True:
            key = await self._ready.get()
            if key is None or self._closed:
                self._ready.put_nowait(None)  # the next worker must see the end too
                return
            self._waiting.discard(key)
            self._running[key] = self._steady()
            try:
                await self._one(key, handler)
            finally:
                del self._running[key]
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _one(self, key: K, handler: Handler[K]) -> None:
        try:
            pause = await handler(key)
        except Exception as error:  # noqa: BLE001 - one bad key must never stop the others
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
            if key in self._again:  # what is new may be the cure, but also what this run did
                self._again.discard(key)
                delay = FIRST_DELAY
            self._on_error(key, error, delay)
            self.add_after(key, delay)
            return
        self._failures.pop(key, None)
        if pause is not None:
            self.add_after(key, pause)


def _log(key: object, error: Exception, delay: float) -> None:
    logger.warning("Failed for %s, trying again in %g s: %s: %s", key, delay, type(error).__name__, error)
    logger.debug("Failed for %s", key, exc_info=error)
