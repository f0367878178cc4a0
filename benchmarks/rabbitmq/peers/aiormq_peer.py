"""aiormq alone, with one acknowledgement for many messages: about the least that a Python consumer can do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldTable

from benchmarks.peers.spec import Spec
from benchmarks.rabbitmq.peers.base import Message, main
from benchmarks.rabbitmq.sessions import QUEUE, first_message

QUORUM: FieldTable = {"x-queue-type": "quorum"}
FLUSH = 0.02
"""Seconds after which messages are acknowledged although they are fewer than a whole batch."""


class Aiormq:
    """Options: prefetch, batch (messages per acknowledgement)."""

    async def setup(self, spec: Spec) -> None:
        """Declare, publish."""
        connection = await aiormq.connect(spec.url)
        channel = await connection.channel()
        await channel.queue_declare(QUEUE, durable=True, arguments=QUORUM)
        properties = Basic.Properties(delivery_mode=2, content_type="application/json", message_id="message-number-one")
        body = json.dumps(first_message(spec.job)).encode()
        await channel.basic_publish(body, routing_key=QUEUE, properties=properties)
        await connection.close()

    async def work(self, spec: Spec, handle: Callable[[Message], Awaitable[None]], stop: asyncio.Event) -> None:
        """Batches of finished messages are acknowledged by their last tag."""
        connection = await aiormq.connect(spec.url)
        channel = await connection.channel()
        await channel.basic_qos(prefetch_count=spec.options["prefetch"])
        batches = _Batches(channel, handle, spec.options["batch"], together=spec.job == "archive")
        await channel.basic_consume(QUEUE, batches.on_message)
        running = asyncio.create_task(batches.run())
        await stop.wait()
        running.cancel()
        await asyncio.wait([running])
        await connection.close()


class _Batches:
    """Messages that arrived, taken in batches: all of one are finished before any is acknowledged.

    `together`: the handlers of a batch wait for something, and run at once.
    """

    def __init__(
        self, channel: AbstractChannel, handle: Callable[[Message], Awaitable[None]], size: int, *, together: bool
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._size = size
        self._together = together
        self._waiting: list[DeliveredMessage] = []
        self._full = asyncio.Event()

    async def on_message(self, message: DeliveredMessage) -> None:
        """Take a message in."""
        self._waiting.append(message)
        if len(self._waiting) >= self._size:
            self._full.set()

    async def run(self) -> None:
        """Work off what has arrived, for ever."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), FLUSH)
            self._full.clear()
            while self._waiting:
                batch = self._waiting[: self._size]
                del self._waiting[: self._size]
                await self._finish(batch)
                if len(self._waiting) < self._size:
                    break

    async def _finish(self, batch: list[DeliveredMessage]) -> None:
        calls = (self._handle(json.loads(message.body)) for message in batch)
        if self._together:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call
        tag = batch[-1].delivery_tag
        assert tag is not None
        await self._channel.basic_ack(tag, multiple=True, wait=False)


if __name__ == "__main__":
    main(Aiormq())
