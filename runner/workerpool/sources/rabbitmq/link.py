"""A runner's link to a broker: one connection to take jobs, one to publish, both healing by themselves.

They are two, since a broker that is short of memory or disk stops reading from connections that publish: jobs can
still be acknowledged then.

The consume channel is the lease: ``epoch`` names it, and everything taken under an older epoch belongs to the broker
again. Traps of aiormq that its users must know:

- Cancelling a task that waits for an RPC (``basic_get``, ``queue_declare``, ``basic_consume``, ``basic_qos``,
  ``basic_cancel``) closes the channel. On the consume channel run such a call in a task of its own and shield it.
- Its ``timeout`` parameters use ``asyncio.wait_for``, which loses cancellations on Python 3.11: use
  ``asyncio.timeout`` around the shielded task.
- ``channel.on_consumer_cancel_callbacks`` is told when the broker cancels a consumer; nothing else is.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPChannelError, ChannelClosed

from workerpool.errors import SourceUnavailable
from workerpool.sources.rabbitmq.connecting import CLOSE_TIMEOUT, version
from workerpool.sources.rabbitmq.deliveries import Deliver
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import cancellable, translated
from workerpool.sources.rabbitmq.line import Line
from workerpool.sources.rabbitmq.patience import timed_out, too_long

LOGGER = logging.getLogger(__name__)


class Link:
    """The two connections of a runner or publisher; ``name`` shows in the broker's lists.

    Belongs to the loop in which it is opened.
    """

    def __init__(self, endpoint: Endpoint, *, name: str) -> None:
        """Connects nothing yet."""
        self.endpoint = endpoint
        self.epoch = 0
        self.version_text = "unknown"
        self._consume = Line(endpoint, f"{name} consume", confirms=False, up=self._is_up, down=self._consume_lost)
        self._publish = Line(endpoint, f"{name} publish", confirms=True, up=self._is_up, down=self._publish_lost)
        self._whole = asyncio.Event()
        self._on_lost: list[Callable[[str], None]] = []
        self._on_ready: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Connects. Raises ConfigError, SourceUnavailable. Afterwards the link reconnects until it is closed."""
        await self._consume.open()
        try:
            await self._publish.open()
        except BaseException:
            await self._consume.close()
            raise
        self.epoch += 1
        self._note_version()
        if self.connected:
            self._whole.set()
        if warning := too_long(self.endpoint.job_timeout, self.version):
            LOGGER.warning("%s: %s", self.endpoint.shown, warning)

    async def close(self) -> None:
        """Closes both connections; what was taken and not settled goes back to its queue. Nobody is told."""
        self._whole.clear()
        try:
            await self._publish.close()
        finally:
            await self._consume.close()

    @property
    def connected(self) -> bool:
        """Whether jobs can be taken and published at the moment."""
        return self._consume.channel is not None and self._publish.channel is not None

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no publishes because it is short of memory or disk."""
        wire = self._publish.wire
        return wire is not None and wire.is_open and wire.blocked

    @property
    def version(self) -> tuple[int, int, int]:
        """Of the broker last connected to."""
        return version(self.version_text)

    @property
    def last_error(self) -> str | None:
        """Why the link is not connected, without secrets; None when it is."""
        return self._consume.error or self._publish.error

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """``callback`` is told at once, with the reason, that the consume channel is gone; ``epoch`` has grown."""
        self._on_lost.append(callback)

    def on_ready(self, callback: Callable[[], None]) -> None:
        """``callback`` is told whenever the link is whole again; not after ``open``."""
        self._on_ready.append(callback)

    def consume_channel(self) -> AbstractChannel:
        """The channel of the current epoch, without confirms. Raises SourceUnavailable."""
        return self._channel(self._consume)

    def consumers(self) -> dict[bytes, Deliver]:
        """The functions that take the deliveries of the consume channel, by consumer tag. Raises SourceUnavailable."""
        if self._consume.wire is None:
            raise SourceUnavailable(self._unavailable(self._consume))
        return self._consume.wire.consumers

    def publish_channel(self) -> AbstractChannel:
        """The channel for publishes, with confirms; ``Sender`` is its only user. Raises SourceUnavailable."""
        return self._channel(self._publish)

    def reset(self, why: str) -> None:
        """Gives up the consume channel and with it all jobs that are held; a new one comes in the background.

        Until the broker has heard of it, it may still deliver to the consumers of the old channel.
        """
        self._consume.drop(why)

    async def ready(self, timeout: float) -> None:
        """Until the link is whole. Raises SourceUnavailable after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._whole.wait()
        except TimeoutError:
            raise SourceUnavailable(self._unavailable(self._consume)) from None

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[AbstractChannel]:
        """A channel to throw away, for what the broker may answer by closing it. Raises SourceUnavailable.

        Inside, and out of it, the broker's refusals come as aiormq's ``ChannelNotFoundEntity`` (404),
        ``ChannelPreconditionFailed`` (406), ``ChannelAccessRefused`` (403) and ``ChannelLockedResource`` (405). It is
        on the consuming connection, which an alarm of the broker doesn't stop.
        """
        channel = await self._consume.open_channel(confirms=False)
        refused: AMQPChannelError | None = None
        try:
            with translated(self.endpoint):
                try:
                    yield channel
                except AMQPChannelError as error:
                    refused = error
        finally:
            await _close(channel)
        if refused is not None:
            raise refused

    def _channel(self, line: Line) -> AbstractChannel:
        if line.channel is None or line.channel.is_closed:
            raise SourceUnavailable(self._unavailable(line))
        return line.channel

    def _unavailable(self, line: Line) -> str:
        return f"{self.endpoint.shown} is not connected: {line.error or self.last_error or 'connecting'}"

    def _is_up(self) -> None:
        self._note_version()
        if self.connected and not self._whole.is_set():
            self._whole.set()
            LOGGER.info("connected to %s again (RabbitMQ %s)", self.endpoint.shown, self.version_text)
            for callback in self._on_ready:
                callback()

    def _note_version(self) -> None:
        if self._consume.wire is not None:
            self.version_text = self._consume.wire.version_text

    def _consume_lost(self, why: str) -> None:
        self.epoch += 1
        self._whole.clear()
        why = timed_out(why, self.endpoint.job_timeout, self.version)
        LOGGER.warning("%s: lost what jobs come by: %s; connecting again", self.endpoint.shown, why)
        for callback in self._on_lost:
            callback(why)

    def _publish_lost(self, why: str) -> None:
        self._whole.clear()
        LOGGER.warning("%s: lost what publishes go by: %s; connecting again", self.endpoint.shown, why)


async def _close(channel: AbstractChannel) -> None:
    """Closes a channel, but not for long; a cancellation on the way is kept."""
    if channel.is_closed:
        return
    with suppress(TimeoutError, ConnectionError), cancellable():
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await channel.close(ChannelClosed(0, "done"))
