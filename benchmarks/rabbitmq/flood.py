"""Fills queues fast: copies of a message that the contender's own producer sent, each with a number of its own."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, ChannelFrame, DeliveredMessage
from aiormq.channel import Channel
from pamqp import body, commands, frame, header

from benchmarks.model import ContenderFailed
from benchmarks.rabbitmq.sessions import FIRST, QUEUE

CHUNK = 200
"""Messages per write to the socket."""
PATIENCE = 60.0
"""Seconds that the broker may take to store what was sent."""
CHANNEL = 1
_DIGITS = str(FIRST).encode()
_PERSISTENT = 2


@dataclass(frozen=True)
class Template:
    """The frames of one message, cut at every place where its number stands.

    `identity` is an integer header that has to differ between messages, as packed into the frames; b"" for none.
    """

    parts: tuple[bytes, ...]
    identity: bytes

    def frames(self, number: int) -> bytes:
        """The frames of message `number`."""
        made = str(number).encode().join(self.parts)
        if self.identity:
            (first,) = struct.unpack(">q", self.identity)
            made = made.replace(self.identity, struct.pack(">q", first + number - FIRST))
        return made


def template(message: DeliveredMessage) -> Template:
    """A template from message number FIRST. Its id, where it has one, ends in the number from now on."""
    properties = message.header.properties
    properties.delivery_mode = _PERSISTENT
    identity = (properties.headers or {}).get("workerpool-id")
    raw = b"".join(
        frame.marshal(part, CHANNEL)
        for part in (
            commands.Basic.Publish(exchange="", routing_key=QUEUE),
            header.ContentHeader(0, len(message.body), properties),
            body.ContentBody(message.body),
        )
    )
    known = str(properties.message_id or properties.correlation_id or "").encode()
    if len(known) >= len(_DIGITS):
        raw = raw.replace(known, known[: -len(_DIGITS)] + _DIGITS)
    packed = struct.pack(">q", identity) if isinstance(identity, int) else b""
    return Template(tuple(raw.split(_DIGITS)), packed)


def take_first(url: str) -> Template:
    """Take the contender's first message out of the queue."""
    return asyncio.run(_take_first(url))


def fill(url: str, made: Template, messages: int) -> None:
    """Put `messages` messages into the queue, stored when this returns. Raises ContenderFailed."""
    asyncio.run(_fill(url, made, messages))


def paced(url: str, made: Template, numbers: range, rate: float) -> list[int]:
    """Send one message after the other, `rate` a second; when each was sent (ns of CLOCK_MONOTONIC)."""
    return asyncio.run(_paced(url, made, numbers, rate))


def ready(url: str) -> int:
    """Messages in the queue that no consumer has."""
    return asyncio.run(_ready(url))


async def _take_first(url: str) -> Template:
    async with _channel(url) as channel:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = await channel.basic_get(QUEUE, no_ack=True)
            if message.delivery_tag is not None:
                return template(message)
            await asyncio.sleep(0.02)
        raise ContenderFailed("its producer left no message in the queue")


async def _fill(url: str, made: Template, messages: int) -> None:
    async with _channel(url) as channel:
        loop = asyncio.get_running_loop()
        for numbers in _chunks(messages):
            drained = loop.create_future()
            payload = b"".join(map(made.frames, numbers))
            await _write(channel, ChannelFrame(payload, should_close=False, drain_future=drained))
            await drained
        deadline = time.monotonic() + PATIENCE
        while (stored := await _count(channel)) < messages:
            if time.monotonic() > deadline:
                raise ContenderFailed(f"the broker stored {stored} of {messages} messages within {PATIENCE:.0f} s")
            await asyncio.sleep(0.02)


async def _paced(url: str, made: Template, numbers: range, rate: float) -> list[int]:
    sent = []
    async with _channel(url) as channel:
        begin = time.monotonic()
        for place, number in enumerate(numbers):
            await asyncio.sleep(max(0.0, begin + place / rate - time.monotonic()))
            sent.append(time.monotonic_ns())
            await _write(channel, ChannelFrame(made.frames(number), should_close=False))
        await _count(channel)
    return sent


async def _ready(url: str) -> int:
    async with _channel(url) as channel:
        return await _count(channel)


async def _write(channel: AbstractChannel, frames: ChannelFrame) -> None:
    assert isinstance(channel, Channel)
    await channel.write_queue.put(frames)


async def _count(channel: AbstractChannel) -> int:
    answer = await channel.queue_declare(QUEUE, passive=True)
    return answer.message_count or 0


def _chunks(messages: int) -> Iterator[range]:
    for start in range(FIRST, FIRST + messages, CHUNK):
        yield range(start, min(start + CHUNK, FIRST + messages))


@asynccontextmanager
async def _channel(url: str) -> AsyncIterator[AbstractChannel]:
    connection: AbstractConnection = await aiormq.connect(url)
    try:
        channel = await connection.channel(CHANNEL, publisher_confirms=False)
        yield channel
    finally:
        await connection.close()
