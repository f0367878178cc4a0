"""The queue of an archive process as a test sees it from outside: puts messages in, counts them, stops the server."""

import asyncio
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aio_pika
import psutil

from tests.support.postgres import Server
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths
from tests.support.tables import Tables
from workerpool_contract import rabbitmq as names
from workerpool_contract.archive import DEFAULT_QUEUE


class Queue(Protocol):
    """One queue on a server of its own."""

    @property
    def url(self) -> str:
        """Where a runner finds it."""
        ...

    def send(self, payloads: Sequence[Mapping[str, object]]) -> None:
        """Puts messages on the archive's queue."""
        ...

    def unfinished(self) -> int:
        """Messages that nobody has acknowledged, those in the hands of a live worker maybe left out."""
        ...

    def waiting(self) -> list[dict[str, object]]:
        """The messages that wait to be taken, in no order."""
        ...

    def costs(self) -> set[tuple[int, int]]:
        """Attempts and crashes charged to any of them."""
        ...

    def dead(self) -> int:
        """Dead letters."""
        ...

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within the block the server is there and says nothing."""
        ...


@dataclass
class PostgresQueue:
    """A database of a server that the test may stop."""

    server: Server
    url: str

    @property
    def tables(self) -> Tables:
        """The engine's tables."""
        return Tables(self.url)

    def send(self, payloads: Sequence[Mapping[str, object]]) -> None:
        """Puts messages on the archive's queue."""
        self.tables.enqueue(DEFAULT_QUEUE, payloads)

    def unfinished(self) -> int:
        """Messages that nobody has acknowledged."""
        return self.tables.unfinished()

    def waiting(self) -> list[dict[str, object]]:
        """The messages that wait to be taken, in no order."""
        return [row["payload"] for row in self.tables.jobs() if not row["leased"]]

    def costs(self) -> set[tuple[int, int]]:
        """Attempts and crashes charged to any of them."""
        return {(row["attempts"], row["crashes"]) for row in [*self.tables.jobs(), *self.tables.history()]}

    def dead(self) -> int:
        """Dead letters."""
        return len(self.tables.dead())

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Every process of the server is stopped meanwhile."""
        postmaster = psutil.Process(self.server.pid)
        postmaster.send_signal(signal.SIGSTOP)
        processes = [postmaster, *postmaster.children()]
        for process in processes[1:]:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGCONT)


@dataclass
class RabbitmqQueue:
    """A virtual host of a server that the test may stop, with the queue as the old worker declared it."""

    vhost: Vhost

    def __post_init__(self) -> None:
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": 5}
        body = {"durable": True, "arguments": arguments}
        self.vhost.api("PUT", f"queues/{{}}/{DEFAULT_QUEUE}", body)

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return self.vhost.url

    def send(self, payloads: Sequence[Mapping[str, object]]) -> None:
        """Puts messages on the archive's queue."""
        asyncio.run(self._publish([json.dumps(payload).encode() for payload in payloads]))

    def unfinished(self) -> int:
        """Messages that wait to be taken; the server gives back at once what a dead worker held."""
        return self._count(*names.lanes(DEFAULT_QUEUE))

    def waiting(self) -> list[dict[str, object]]:
        """The messages that wait to be taken, in no order."""
        return [json.loads(message["payload"]) for message in self._look()]

    def costs(self) -> set[tuple[int, int]]:
        """Attempts and crashes charged to any of them that is still there."""
        headers = [message["properties"].get("headers", {}) for message in self._look()]
        return {(int(it.get(names.HEADER_ATTEMPTS, 0)), int(it.get(names.HEADER_CRASHES, 0))) for it in headers}

    def dead(self) -> int:
        """Dead letters."""
        return self._count(names.dead(DEFAULT_QUEUE))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The server is stopped meanwhile."""
        server = psutil.Process(self.vhost.broker.pid)
        server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)

    def _look(self) -> list[dict[str, Any]]:
        asked = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"}
        found: list[dict[str, Any]] = []
        for lane in names.lanes(DEFAULT_QUEUE):
            found += self.vhost.api("POST", f"queues/{{}}/{lane}/get", asked)
        return found

    def _count(self, *queues: str) -> int:
        return sum(count or 0 for count in asyncio.run(depths(self.url, *queues)).values())

    async def _publish(self, bodies: Sequence[bytes]) -> None:
        async with await aio_pika.connect(self.url) as connection, connection.channel() as channel:
            for body in bodies:
                await channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), DEFAULT_QUEUE)
