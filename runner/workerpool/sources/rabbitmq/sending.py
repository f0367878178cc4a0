"""Publishing with confirms: many messages on their way at once, and nothing lost in silence.

aiormq's ``basic_publish`` takes one coroutine, three futures and a turn of the writer per message. Here a portion of
messages is one write, and a message is one future in the channel's ``confirmations``, where aiormq looks for them.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Final
from uuid import uuid4

from aiormq.abc import AbstractConnection, ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError

from workerpool.errors import PayloadError, SourceUnavailable
from workerpool.sources.rabbitmq.faults import reason, translated
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import (
    Encoded,
    Fate,
    Outgoing,
    Refused,
    Unroutable,
    encode,
    portions,
    refused_size,
)

CONFIRM_TIMEOUT: Final = 10.0
PORTIONS: Final = 4
"""At most this many portions wait for confirms: aiormq walks all that are open for each "up to here" of the broker."""


class Sender:
    """Publishes over the link's channel for publishes, of which it is the only user.

    ``timeout``: seconds that the broker may take to confirm a portion of messages.
    """

    def __init__(self, link: Link, timeout: float = CONFIRM_TIMEOUT) -> None:
        """Sends nothing yet."""
        self._link = link
        self._timeout = timeout
        self._slots = asyncio.Semaphore(PORTIONS)
        self._order = asyncio.Lock()
        self._prefix = uuid4().hex
        self._numbers = count(1)
        self._connection: AbstractConnection | None = None
        self._most: int | None = None

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Returns once the broker has confirmed every message.

        Raises Unroutable, Refused, PayloadError (nothing was sent) or SourceUnavailable; after the last, and after a
        cancellation, each of them may or may not be on the broker.
        """
        failure = self.failure(messages, await self.outcomes(messages))
        if failure is not None:
            raise failure

    def failure(self, messages: Sequence[Outgoing], fates: Sequence[Fate]) -> Refused | Unroutable | None:
        """The error that ``send`` raises for these fates of ``messages``; None when all were confirmed."""
        refused = [message for message, fate in zip(messages, fates, strict=True) if fate is Fate.REFUSED]
        if refused:
            return Refused(self._link.endpoint.shown, refused)
        returned = [message for message, fate in zip(messages, fates, strict=True) if fate is Fate.RETURNED]
        return Unroutable(self._link.endpoint.shown, returned) if returned else None

    async def outcomes(self, messages: Sequence[Outgoing]) -> list[Fate]:
        """What the broker did with each message. Raises PayloadError and SourceUnavailable as ``send``."""
        channel = self._channel()
        ready = [self._encode(channel, portion) for portion in portions(messages)]
        if len(ready) == 1:
            try:
                return await self._publish(channel, ready[0])
            except SourceUnavailable:
                if len(messages) == 1:
                    # Too large for the broker, as it has just said? Then no other try will do.
                    self._encode(channel, messages)
                raise
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._publish(channel, portion)) for portion in ready]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [fate for task in tasks for fate in task.result()]

    def unsayable(self, message: Outgoing) -> str | None:
        """Why the broker will never take ``message``, None when nothing is known against it.

        Raises SourceUnavailable.
        """
        try:
            self._encode(self._channel(), [message])
        except PayloadError as error:
            return str(error)
        return None

    @property
    def most(self) -> int | None:
        """Bytes of the largest message that the broker takes, None as long as it has refused none."""
        return self._most

    def try_again(self) -> None:
        """What the broker has said of sizes may hold no more: the next message that is too large asks it again."""
        self._most = None

    def _channel(self) -> Channel:
        if self._link.blocked:
            raise SourceUnavailable(
                f"{self._link.endpoint.shown} takes no messages: it is short of memory or disk (connection.blocked)"
            )
        channel = self._link.publish_channel()
        assert isinstance(channel, Channel)
        if channel.connection is not self._connection:
            # A broker that was started again may take more.
            self._connection, self._most = channel.connection, None
        return channel

    def _encode(self, channel: Channel, messages: Sequence[Outgoing]) -> list[Encoded]:
        return [
            encode(message, f"{self._prefix}-{number}", channel.number, channel.max_content_size, self._most)
            for message, number in zip(messages, self._numbers, strict=False)
        ]

    async def _publish(self, channel: Channel, portion: list[Encoded]) -> list[Fate]:
        async with self._slots:
            flight = _Flight(channel, portion)
            try:
                with translated(self._link.endpoint):
                    async with asyncio.timeout(self._timeout):
                        async with self._order:
                            await flight.start()
                        return await flight.land()
            except SourceUnavailable as error:
                self._most = refused_size(str(error)) or self._most
                raise SourceUnavailable(f"{error} (waiting for confirms)") from None
            finally:
                flight.abandon()


class _Flight:
    """A portion of messages between the socket and the broker's answer."""

    def __init__(self, channel: Channel, portion: list[Encoded]) -> None:
        loop = asyncio.get_running_loop()
        self._channel = channel
        self._portion = portion
        self._fates: list[Fate | None] = [None] * len(portion)
        self._left = len(portion)
        self._landed = loop.create_future()
        self._futures = [loop.create_future() for _ in portion]

    async def start(self) -> None:
        """Hands the portion to the socket; the caller sees to it that portions start one after the other."""
        channel = self._channel
        if channel.is_closed:
            raise ConnectionError("the channel was closed")
        before = channel.delivery_tag
        for index, (future, message) in enumerate(zip(self._futures, self._portion, strict=True)):
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = future
            channel.message_id_delivery_tag[message.message_id] = channel.delivery_tag
            future.add_done_callback(partial(self._answered, index))
        payload = b"".join(message.frames for message in self._portion)
        try:
            await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False))
        except BaseException:
            # The broker counts publishes: what it never saw must leave no gap.
            for tag in range(before + 1, channel.delivery_tag + 1):
                channel.confirmations.pop(tag, None)
            channel.delivery_tag = before
            raise

    async def land(self) -> list[Fate]:
        """The fates, once all are known. Raises ConnectionError when the channel ends before."""
        ended = self._channel.closing
        try:
            await asyncio.wait({self._landed, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not self._landed.done():
                raise ConnectionError(reason(_exception(ended)))
            return [fate for fate in self._fates if fate is not None]
        finally:
            # Ours alone: the channel only looks after it.
            ended.cancel()

    def abandon(self) -> None:
        """Stops waiting for what wasn't answered: answers that come still are passed over."""
        for future, message in zip(self._futures, self._portion, strict=True):
            if not future.done():
                future.cancel()
            self._channel.message_id_delivery_tag.pop(message.message_id, None)

    def _answered(self, index: int, done: "asyncio.Future[object]") -> None:
        if done.cancelled():
            return
        self._fates[index] = _fate(done.exception())
        self._left -= 1
        if not self._left and not self._landed.done():
            self._landed.set_result(None)


def _fate(error: BaseException | None) -> Fate | None:
    if error is None:
        return Fate.CONFIRMED
    if isinstance(error, PublishError):
        return Fate.RETURNED
    return Fate.REFUSED if isinstance(error, DeliveryError) else None


def _exception(ended: "asyncio.Future[object]") -> BaseException | None:
    return None if ended.cancelled() else ended.exception()
