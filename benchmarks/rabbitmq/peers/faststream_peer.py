"""FastStream on RabbitMQ: a subscriber whose failures go back to the queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from faststream import AckPolicy
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from benchmarks.peers.spec import Spec
from benchmarks.rabbitmq.peers.base import Message, main
from benchmarks.rabbitmq.sessions import QUEUE, first_message

JOBS = RabbitQueue(QUEUE, durable=True, queue_type=QueueType.QUORUM)


class FastStream:
    """Options: prefetch."""

    async def setup(self, spec: Spec) -> None:
        """Declare, publish."""
        async with RabbitBroker(spec.url) as broker:
            await broker.declare_queue(JOBS)
            await broker.publish(first_message(spec.job), queue=QUEUE, persist=True)

    async def work(self, spec: Spec, handle: Callable[[Message], Awaitable[None]], stop: asyncio.Event) -> None:
        """Run the broker with its subscriber."""
        channel = Channel(prefetch_count=spec.options["prefetch"])
        broker = RabbitBroker(spec.url, default_channel=channel, log_level=logging.WARNING)

        @broker.subscriber(JOBS, ack_policy=AckPolicy.NACK_ON_ERROR)
        async def bench(message: Message) -> None:
            await handle(message)

        await broker.start()
        await stop.wait()
        await broker.stop()


if __name__ == "__main__":
    main(FastStream())
