"""Where the jobs of a pool are, for tests that are the same on every source that a manifest can name."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from tests.support.rabbitmq import Vhost
from tests.support.tables import Tables
from workerpool.producer import get_producer
from workerpool_contract.rabbitmq import DEAD_SUFFIX, RESERVED_PREFIXES, WAIT_PREFIX

SECRET: Final = "queue-db"
RUNS: Final = "RUNS_URL"
"""Where the app of the cluster tests tells what it did, when that is not where its jobs come from."""

Body = dict[str, Any]


class Queues(Protocol):
    """The queues of one database or virtual host."""

    is_atomic: ClassVar[bool]
    """Whether jobs that are enqueued together are there all at once."""

    @property
    def url(self) -> str:
        """What the Secret of the pools holds."""
        ...

    def source(self, queue: str) -> Body:
        """``spec.source`` of a pool of this queue."""
        ...

    def variables(self) -> list[Body]:
        """What pods are told beyond what the operator tells them."""
        ...

    def enqueue(self, queue: str, payloads: Iterable[Mapping[str, object]]) -> None:
        """Adds jobs, one per payload."""
        ...

    def unfinished(self) -> int:
        """Jobs of all queues that are ready, in flight or delayed."""
        ...


@dataclass(frozen=True)
class PostgresQueues:
    """Queues in a database, in which the app tells what it did too."""

    tables: Tables
    is_atomic: ClassVar = True

    @property
    def url(self) -> str:
        """As Queues."""
        return self.tables.url

    def source(self, queue: str) -> Body:
        """As Queues."""
        return {"postgres": {"queue": queue, "urlSecretRef": {"name": SECRET, "key": "url"}}}

    def variables(self) -> list[Body]:
        """As Queues."""
        return []

    def enqueue(self, queue: str, payloads: Iterable[Mapping[str, object]]) -> None:
        """As Queues."""
        self.tables.enqueue(queue, payloads)

    def unfinished(self) -> int:
        """As Queues."""
        return self.tables.unfinished()


@dataclass(frozen=True)
class RabbitmqQueues:
    """Queues of a virtual host; ``tables``: the database in which the app tells what it did."""

    vhost: Vhost
    tables: Tables
    is_atomic: ClassVar = False

    @property
    def url(self) -> str:
        """As Queues."""
        return self.vhost.url

    def source(self, queue: str) -> Body:
        """As Queues."""
        management = {"url": f"http://{self.vhost.broker.host}:{self.vhost.broker.ports.management}"}
        return {"rabbitmq": {"queue": queue, "urlSecretRef": {"name": SECRET}, "management": management}}

    def variables(self) -> list[Body]:
        """As Queues."""
        return [{"name": RUNS, "value": self.tables.url}]

    def enqueue(self, queue: str, payloads: Iterable[Mapping[str, object]]) -> None:
        """As Queues."""
        sent = list(payloads)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(_send(self.vhost.url, queue, sent))).result()

    def unfinished(self) -> int:
        """As Queues, as of some seconds ago: the broker counts now and then."""
        kept: list[Body] = [
            one for one in self.vhost.api("GET", "queues/{}") if one["durable"] and _holds_jobs(one["name"])
        ]
        return sum(one.get("messages", 1) for one in kept)


def _holds_jobs(name: str) -> bool:
    """Whether a queue of the virtual host holds jobs that are not over."""
    return name.startswith(WAIT_PREFIX) or (not name.startswith(RESERVED_PREFIXES) and not name.endswith(DEAD_SUFFIX))


async def _send(url: str, queue: str, payloads: list[Mapping[str, object]]) -> None:
    async with get_producer(url) as producer:
        await producer.enqueue_bulk(queue, [json.loads(json.dumps(payload)) for payload in payloads])
