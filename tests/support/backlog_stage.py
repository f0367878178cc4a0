"""A vhost with jobs, consumers and runners that only say what they are told to, and a reader of its backlogs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from yarl import URL

from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool_contract.amqp import amqp_parts
from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_contract.rabbitmq import REPORTS, dead, dead_arguments, lanes, work_arguments
from workerpool_contract.runnerreport import RunnerReport
from workerpool_operator.backlog.rabbitmq.reader import RabbitmqBacklog
from workerpool_operator.backlog.watch import Endpoint

NOWHERE = "http://127.0.0.1:9"
"""An address at which nobody listens."""


@dataclass
class Client:
    """A client of a vhost, on one channel."""

    connection: AbstractConnection
    channel: AbstractChannel
    held: list[DeliveredMessage] = field(default_factory=list)

    async def declare(self, queue: str) -> None:
        """Declares the queues of the jobs of ``queue``."""
        for name in lanes(queue):
            await self.channel.queue_declare(name, durable=True, arguments=work_arguments(queue))
        await self.channel.queue_declare(dead(queue), durable=True, arguments=dead_arguments((3, 10, 0)))

    async def publish(self, name: str, count: int = 1) -> None:
        """Publishes jobs into a queue by its own name; returns once the broker has them."""
        for _ in range(count):
            await self.channel.basic_publish(b"{}", routing_key=name)

    async def take(self, name: str, count: int) -> None:
        """Consumes ``count`` messages and holds them."""
        await self.channel.basic_qos(prefetch_count=count)
        await self.channel.basic_consume(name, self._hold)

        async def there() -> bool:
            return len(self.held) == count

        await eventually(there, f"{count} deliveries")

    async def settle(self) -> None:
        """Acknowledges what it holds."""
        held, self.held = self.held, []
        for message in held:
            assert message.delivery_tag is not None
            await self.channel.basic_ack(message.delivery_tag)

    async def report(self, queue: str, held: int = 0, **more: Any) -> None:
        """Speaks as a runner of ``queue`` would."""
        said = RunnerReport("b1", "pod-1", (queue,), 4, held, {queue: held})
        await self.channel.basic_publish(replace(said, **more).to_json(), exchange=REPORTS, routing_key="")

    async def _hold(self, message: DeliveredMessage) -> None:
        self.held.append(message)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """A connected client with confirms."""
    connection = aiormq.Connection(URL(url).with_path("/"))
    connection.vhost = amqp_parts(url).vhost
    await connection.connect()
    try:
        yield Client(connection, await connection.channel(publisher_confirms=True, on_return_raises=True))
    finally:
        await connection.close()


@dataclass
class Stage:
    """A vhost, who publishes and consumes there, and the reader."""

    vhost: Vhost
    client: Client
    reader: RabbitmqBacklog

    async def read(self, queue: str = "q") -> Reading:
        """One reading."""
        return (await self.reader.read([queue]))[queue]

    async def until(self, wanted: Callable[[Backlog], object], queue: str = "q") -> Backlog:
        """Reads until ``wanted`` holds of the backlog."""
        last: list[Reading] = []

        async def there() -> bool:
            last[:] = [await self.read(queue)]
            return isinstance(last[0], Backlog) and bool(wanted(last[0]))

        try:
            await eventually(there, "the wanted reading")
        except AssertionError as error:
            raise AssertionError(f"{error}; last {last}") from None
        assert isinstance(last[0], Backlog)
        return last[0]

    async def until_unknown(self, queue: str = "q") -> str:
        """Reads until the backlog is unknown; the reason."""
        reasons: list[str] = []

        async def there() -> bool:
            found = await self.read(queue)
            reasons.extend([found.reason] if isinstance(found, Unknown) else [])
            return bool(reasons)

        await eventually(there, "an unknown backlog")
        return reasons[0]

    async def heard(self, queue: str = "q") -> list[str]:
        """The names of the runners that are heard."""
        found = await self.reader.runners([queue])
        assert not isinstance(found, Unknown), found
        return [report.name for report in found[queue]]


def endpoint_of(vhost: Vhost, *, management: bool = True, prometheus: bool = True, **more: Any) -> Endpoint:
    """The endpoint of a vhost, with or without the pages of its broker."""
    return Endpoint(
        vhost.url,
        management=vhost.management_url if management else NOWHERE,
        prometheus=vhost.broker.prometheus_url if prometheus else NOWHERE,
        **more,
    )


@asynccontextmanager
async def staged(vhost: Vhost, endpoint: Endpoint | None = None) -> AsyncIterator[Stage]:
    """A stage whose queue "q" is declared."""
    reader = RabbitmqBacklog(endpoint or endpoint_of(vhost), timeout=20.0)
    try:
        async with client(vhost.url) as made:
            await made.declare("q")
            yield Stage(vhost, made, reader)
    finally:
        await asyncio.shield(reader.close())
