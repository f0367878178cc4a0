"""The control thread of a Postgres source: everything that must go on while handlers hog the main loop.

It owns one connection and one event loop of its own. It renews leases that are past half their time, promotes due jobs,
reports what the runner did, and does the hourly upkeep. When leases can't be renewed in time it fences: the jobs are
given up before somebody else may claim them.

Rejected: renewing from the main loop (a handler that computes for a minute without awaiting would lose its lease while
it works), and sharing the claim connection (a slow claim would hold up the renewals).
"""

import asyncio
import logging
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workerpool.errors import ConfigError, SourceError, SourceUnavailable
from workerpool.sources.base import Job
from workerpool.sources.postgres.connection import UNAVAILABLE, Connection, Endpoint, close, connect, translated
from workerpool.sources.postgres.upkeep import FIRST_MAINTENANCE, MAINTENANCE, Upkeep

T = TypeVar("T")

log = logging.getLogger("workerpool.postgres")

CLEAN_UP_TIMEOUT = 300.0
"""Seconds that one run of the upkeep may take."""


@dataclass(slots=True)
class Signals:
    """What the control thread tells the main loop; every callback may be called from another thread."""

    wake: Callable[[], None]
    fenced: Callable[[Sequence[Job]], None]
    connected: Callable[[], None]
    lost: Callable[[], None]


@dataclass(slots=True)
class ControlThread:
    """Runs ``Upkeep`` on its own connection and thread until ``stop``."""

    endpoint: Endpoint
    upkeep: Upkeep
    signals: Signals
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _connection: Connection | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _soon: asyncio.Event = field(default_factory=asyncio.Event)
    _first: "Future[None]" = field(default_factory=Future)

    def start(self) -> None:
        """Starts the thread; it connects by itself and keeps trying."""
        self._thread = threading.Thread(target=self._main, name="workerpool-control", daemon=True)
        self._thread.start()

    async def connected(self) -> None:
        """Until the first connection stands, or for as long as a statement may take: it goes on trying anyway."""
        await asyncio.wait({asyncio.wrap_future(self._first)}, timeout=self.endpoint.timeout)

    async def stop(self) -> None:
        """Ends the thread after one last report; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._loop.call_soon_threadsafe(self._end)
        await asyncio.to_thread(thread.join, 10)

    def _end(self) -> None:
        # Both in one call: what is called after the first has ended the loop would find it closed.
        self._stopping.set()
        self._soon.set()

    def promote_soon(self) -> None:
        """Somebody enqueued, perhaps a delayed job; callable from the main loop."""
        if self._thread is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._promote)

    async def call(self, use: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Runs one exchange on the control connection, from the main loop. Raises SourceUnavailable."""
        future = asyncio.run_coroutine_threadsafe(self._use(use), self._loop)
        return await asyncio.wrap_future(future)

    async def _use(self, use: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._lock, translated(self.endpoint):
            connection = self._connection
            if connection is None or connection.is_closed():
                msg = "not connected to the queue's database at the moment"
                raise SourceUnavailable(msg)
            try:
                return await use(connection)
            except UNAVAILABLE:
                connection.terminate()
                raise

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        beside = {asyncio.create_task(self._guard()), asyncio.create_task(self._clean_up())}
        try:
            await self._serve()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def _clean_up(self) -> None:
        """The hourly upkeep, on a connection of its own: renewals must not wait for it."""
        await asyncio.sleep(FIRST_MAINTENANCE)
        while True:
            try:
                connection = await connect(self.endpoint, role="upkeep", timeout=CLEAN_UP_TIMEOUT)
                try:
                    async with translated(self.endpoint):
                        await self.upkeep.maintain(connection)
                finally:
                    await close(connection)
            except (SourceError, ConfigError) as error:
                log.warning("Upkeep failed and is tried again in an hour: %s", error)
            await asyncio.sleep(MAINTENANCE)

    async def _guard(self) -> None:
        """Gives up in time what can't be renewed, however long the connection waits for an answer or for a server."""
        while True:
            await asyncio.sleep(self.upkeep.lease.margin / 2)
            try:
                self.upkeep.guard()
                self._fence()
            except Exception:
                log.exception("Guarding the leases failed; going on")

    async def _serve(self) -> None:
        delay = 0.0
        while not self._stopping.is_set():
            try:
                await self._connect()
                delay = 0.0
                while not self._stopping.is_set():
                    await self._turn()
            except (SourceError, ConfigError) as error:
                self.signals.lost()
                self.upkeep.failed(error)
                self._fence()
                delay = min(2.0, delay * 2 or 0.1)
                await self._pause(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        await self._last_turn()
        await close(self._connection)

    async def _connect(self) -> None:
        await close(self._connection)
        self._connection = await connect(self.endpoint, role="control")
        self.signals.connected()
        if not self._first.done():
            self._first.set_result(None)
        self.signals.wake()

    async def _turn(self) -> None:
        due = await self._use(self.upkeep.turn)
        if self.upkeep.moved:
            self.signals.wake()
        self._fence()
        await self._pause(due)

    def _fence(self) -> None:
        if lost := self.upkeep.take_fenced():
            self.signals.fenced(lost)

    async def _last_turn(self) -> None:
        try:
            await self._use(self.upkeep.farewell)
        except SourceError as error:
            self.upkeep.failed(error)

    async def _pause(self, seconds: float) -> None:
        self._soon.clear()
        if self._stopping.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._soon.wait()
        except TimeoutError:
            return

    def _promote(self) -> None:
        self.upkeep.promote_soon()
        self._soon.set()
