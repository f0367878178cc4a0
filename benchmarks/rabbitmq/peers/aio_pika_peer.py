"""aio-pika alone: consume, handle, acknowledge each message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from pamqp.common import FieldTable

from benchmarks.peers.spec import Spec
from benchmarks.rabbitmq.peers.base import Message, main
from benchmarks.rabbitmq.sessions import QUEUE, first_message

QUORUM: FieldTable = {"x-queue-type": "quorum"}


class AioPika:
    """Options: prefetch."""

    async def setup(self, spec: Spec) -> None:
        """Declare, publish."""
        async with await aio_pika.connect_robust(spec.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue(QUEUE, durable=True, arguments=QUORUM)
            message = aio_pika.Message(
                json.dumps(first_message(spec.job)).encode(),
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await channel.default_exchange.publish(message, routing_key=QUEUE)

    async def work(self, spec: Spec, handle: Callable[[Message], Awaitable[None]], stop: asyncio.Event) -> None:
        """A callback per message, as many at once as are prefetched."""

        async def on_message(message: AbstractIncomingMessage) -> None:
            await handle(json.loads(message.body))
            await message.ack()

        async with await aio_pika.connect_robust(spec.url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=spec.options["prefetch"])
            queue = await channel.declare_queue(QUEUE, durable=True, arguments=QUORUM)
            await queue.consume(on_message)
            await stop.wait()


if __name__ == "__main__":
    main(AioPika())
