"""TaskIQ with taskiq-aio-pika: one task, acknowledged when it has run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from taskiq.acks import AcknowledgeType
from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType

from benchmarks.peers.spec import Spec
from benchmarks.rabbitmq.peers.base import Message, main
from benchmarks.rabbitmq.sessions import QUEUE, first_message

TASK = "bench"


class TaskIQ:
    """Options: tasks (at once), ahead (prefetched on top of them)."""

    async def setup(self, spec: Spec) -> None:
        """Declare, publish."""
        broker = _broker(spec, None)
        await broker.startup()
        await broker.find_task(TASK).kiq(first_message(spec.job))
        await broker.shutdown()

    async def work(self, spec: Spec, handle: Callable[[Message], Awaitable[None]], stop: asyncio.Event) -> None:
        """Run its receiver."""
        broker = _broker(spec, handle)
        broker.is_worker_process = True
        running = asyncio.create_task(
            run_receiver_task(
                broker,
                max_async_tasks=spec.options["tasks"],
                max_prefetch=spec.options["ahead"],
                ack_time=AcknowledgeType.WHEN_EXECUTED,
                run_startup=True,
            )
        )
        await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        await asyncio.wait([running])
        await broker.shutdown()


def _broker(spec: Spec, handle: Callable[[Message], Awaitable[None]] | None) -> Any:  # noqa: ANN401 (no stubs here)
    """A broker with one task that passes its message to `handle`."""
    capacity = spec.options["tasks"] + spec.options["ahead"]
    broker = AioPikaBroker(spec.url, qos=capacity, task_queues=[Queue(name=QUEUE, type=QueueType.QUORUM)])

    async def bench(message: Message) -> None:
        assert handle is not None
        await handle(message)

    broker.register_task(bench, task_name=TASK)
    return broker


if __name__ == "__main__":
    main(TaskIQ())
