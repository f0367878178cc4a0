"""A source on a virtual host, opened and closed around a test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import aiormq
import pytest

from tests.support.rabbitmq import Vhost
from tests.support.waiting import DEADLINE, eventually
from workerpool.errors import SourceUnavailable
from workerpool.sources.base import Job, Subscription
from workerpool.sources.rabbitmq import source as rabbitmq_source
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.source import Identity, RabbitmqSource


@dataclass
class Consumer:
    """A source with what it told."""

    source: RabbitmqSource
    fenced: list[Job] = field(default_factory=list)

    async def soon(self, queue: str = "orders") -> Job:
        """The next job, waiting for it as a runner does."""
        found: list[Job] = []

        async def there() -> bool:
            # A connection may be lost between the look at it and the claim.
            with suppress(SourceUnavailable):
                found.extend(await self.source.claim({queue: 1}) if self.source.connected else [])
            if not found:
                await self.source.wait(0.2)
            return bool(found)

        await eventually(there, "a job")
        return found[0]


@contextmanager
def patient_goodbyes() -> Iterator[None]:
    """Sources give back what they hold however slow the machine is: in a hurry, they leave it to the broker."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rabbitmq_source, "RETIRE_SECONDS", DEADLINE)
        yield


@asynccontextmanager
async def consumer(vhost: Vhost, *queues: str, limit: int = 20, slots: int = 4) -> AsyncIterator[Consumer]:
    """A consumer of some queues, of ``orders`` when none is named."""
    source = RabbitmqSource(Endpoint(vhost.url, delivery_limit=limit), Identity(uuid4(), "trap"), slots)
    made = Consumer(source)
    source.on_fenced(made.fenced.extend)
    await source.open([Subscription(queue, queue) for queue in queues or ("orders",)], tuple)
    try:
        yield made
    finally:
        with patient_goodbyes():
            await source.close()


async def publish(vhost: Vhost, queue: str, *bodies: bytes, content_type: str | None = None) -> None:
    """Messages of a foreign program."""
    connection = await aiormq.connect(vhost.url)
    try:
        channel = await connection.channel()
        for body in bodies:
            given = aiormq.spec.Basic.Properties(content_type=content_type)
            await channel.basic_publish(body, routing_key=queue, properties=given)
    finally:
        await connection.close()


async def depth(vhost: Vhost, queue: str) -> int:
    """Messages of a queue that the broker could deliver now."""
    connection = await aiormq.connect(vhost.url)
    try:
        channel = await connection.channel()
        return (await channel.queue_declare(queue, passive=True)).message_count or 0
    finally:
        await connection.close()
