"""A connection with one channel that heals: lost, it is opened again for ever, until it is closed."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelClosed

from workerpool.errors import SourceUnavailable, WorkerPoolError
from workerpool.sources.rabbitmq.connecting import CONNECT_TIMEOUT, Wire, connect
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import cancellable, reason, translated

LOGGER = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
BRIEF: Final = 1.0
"""A channel that lived shorter than this, in seconds, is not opened again without a pause."""

Change = Callable[[], None]
Lost = Callable[[str], None]


def pause(failures: int, spread: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many ``failures`` in a row: up to 0.5, 1, 2 … 30, anywhere in between."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 16)) * spread()


class Line:
    """One healing connection. ``up`` and ``down`` are told in the loop, ``down`` at once and with the reason.

    ``confirms``: whether its channel confirms publishes.
    """

    def __init__(self, endpoint: Endpoint, name: str, *, confirms: bool, up: Change, down: Lost) -> None:
        """Connects nothing yet."""
        self.wire: Wire | None = None
        self.channel: AbstractChannel | None = None
        self.error: str | None = None
        self._endpoint = endpoint
        self._name = name
        self._confirms = confirms
        self._up = up
        self._down = down
        self._broken = asyncio.Event()
        self._dropped: AbstractChannel | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._since = 0.0
        self._closed = False

    async def open(self) -> None:
        """Connects and keeps it so from now on. Raises ConfigError, SourceUnavailable."""
        try:
            await self._establish()
        except BaseException:
            await self._hang_up()
            raise
        self._supervisor = asyncio.create_task(self._heal(), name=f"heal {self._name}")

    async def close(self) -> None:
        """Ends it for good; ``down`` is not told."""
        # aiormq turns a cancellation at an unlucky moment into its own error: the supervisor looks here too.
        self._closed = True
        supervisor, self._supervisor = self._supervisor, None
        try:
            if supervisor is not None:
                self._broken.set()
                supervisor.cancel()
                await asyncio.wait([supervisor])
        finally:
            self.channel = None
            self.error = "closed"
            await self._hang_up()

    def drop(self, why: str) -> None:
        """Gives the channel up, as if the broker had closed it; the next one comes on the same connection."""
        if self.channel is not None:
            self._dropped = self.channel
            self._lost(self.channel, why)

    async def open_channel(self, *, confirms: bool) -> AbstractChannel:
        """Another channel on the same connection. Raises SourceUnavailable."""
        wire = self.wire
        if wire is None or not wire.is_open:
            raise SourceUnavailable(f"{self._endpoint.shown} is not connected: {self.error or 'connecting'}")
        with translated(self._endpoint):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return await wire.connection.channel(publisher_confirms=confirms, on_return_raises=True)
            except RuntimeError:
                # aiormq's word for a connection that closed a moment ago.
                raise ConnectionError("the connection ended") from None

    async def _heal(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._closed:
            await self._broken.wait()
            self._broken.clear()
            failures = failures if loop.time() - self._since < BRIEF else 0
            while self.channel is None and not self._closed:
                if failures:
                    await asyncio.sleep(pause(failures - 1))
                failures += 1
                await self._try()

    async def _try(self) -> None:
        try:
            await self._establish()
            self._up()
        except WorkerPoolError as error:
            # A refused login too: passwords are rotated, brokers come back with their users.
            self.error = str(error)
        except Exception as error:
            # Whatever it was: without a supervisor the runner would stay deaf for ever.
            self.error = reason(error)
            LOGGER.exception("%s: can't be connected", self._endpoint.shown)

    async def _establish(self) -> None:
        await self._discard()
        if self.wire is None or not self.wire.is_open:
            await self._hang_up()
            self.wire = await connect(self._endpoint, self._name)
        channel = await self.open_channel(confirms=self._confirms)
        self._since = asyncio.get_running_loop().time()
        self.channel = channel
        self.error = None
        channel.closing.add_done_callback(lambda ended: self._lost(channel, _why(ended)))
        self.wire.connection.closing.add_done_callback(lambda ended: self._lost(channel, _why(ended)))

    async def _discard(self) -> None:
        """Closes the channel that was dropped, so that the broker takes back what it held; else the connection."""
        dropped, self._dropped = self._dropped, None
        if dropped is None or dropped.is_closed:
            return
        try:
            with cancellable():
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await dropped.close(ChannelClosed(0, "dropped"))
        except (TimeoutError, ConnectionError):
            await self._hang_up()

    async def _hang_up(self) -> None:
        wire, self.wire = self.wire, None
        if wire is not None:
            await wire.close()

    def _lost(self, channel: AbstractChannel, why: str) -> None:
        if self.channel is not channel:
            return
        self.channel = None
        self.error = why
        self._broken.set()
        self._down(why)


def _why(ended: "asyncio.Future[object]") -> str:
    if ended.cancelled():
        return reason(None)
    with suppress(asyncio.CancelledError):
        return reason(ended.exception())
    return reason(None)
