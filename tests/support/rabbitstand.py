"""Jobs in every state on a broker for tests, made as runners and the broker make them."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.linked import linked
from tests.support.rabbitqueues import depths, taken
from tests.support.waiting import eventually
from workerpool.sources.base import NewJob
from workerpool.sources.rabbitmq.deadletters import DeadJob, encode_dead
from workerpool.sources.rabbitmq.declare import ensure_queue, ensure_shared, ensure_subscription
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import Envelope
from workerpool.sources.rabbitmq.history import event_record, finished_record
from workerpool.sources.rabbitmq.ids import Ids
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import HISTORY, dead


@dataclass
class Stand:
    """One virtual host, to put jobs into."""

    url: str
    link: Link
    sender: Sender
    publisher: RabbitmqPublisher
    ids: Ids

    async def subscribe(self, topic: str, *queues: str) -> None:
        """As runners do when they start."""
        registry = Registry(self.link, self.sender)
        await registry.open()
        for queue in queues:
            await ensure_subscription(self.link, topic, queue, 20)
            await registry.subscribe(topic, queue)
        await registry.close()

    async def bury(self, queue: str, count: int, reason: str = "error", **fields: Any) -> list[int]:
        """Dead letters, as a runner makes them; their ids.

        ``fields``: of their envelopes, or ``raw`` bytes, or ``died_in`` seconds from now.
        """
        await self.subscribe(queue, queue)
        raw, died_in = fields.pop("raw", None), fields.pop("died_in", 0)
        now = round(time.time() * 1000)
        made = []
        for n in range(count):
            job = Envelope(queue, self.ids.next(), json.dumps({"n": n}), now, 3, 1, 0, '{"tenant": "acme"}')
            letter = DeadJob(
                job._replace(**fields), reason, "ValueError: no such thing", "notify", now + died_in * 1000, raw
            )
            made.append(letter)
        await self.sender.send([Outgoing("", dead(queue), *encode_dead(it)) for it in made])
        return [it.envelope.id for it in made]

    async def wear_out(self, queue: str, bodies: Sequence[bytes], exchange: str = "", key: str | None = None) -> None:
        """Messages of some other program that kill whoever takes them: the broker makes them dead letters."""
        await ensure_queue(self.link, queue, 1)
        await self.sender.send([Outgoing(exchange, key or queue, body, {"from": "elsewhere"}) for body in bodies])

        async def dead_now() -> bool:
            if (await depths(self.url, queue))[queue]:
                await taken(self.url, queue)
            return (await depths(self.url, dead(queue)))[dead(queue)] == len(bodies)

        await eventually(dead_now, "the broker has made them dead letters")

    async def finish(self, queue: str, state: str, **fields: Any) -> int:
        """A job that is over, as a runner records it; its id."""
        now = round(time.time() * 1000)
        job = Envelope(queue, self.ids.next(), '{"n": 7}', now - 2000)
        log = StreamLog(self.link, self.sender, HISTORY)
        await log.append([event_record(job, now - 500, "fitting", 40, '{"fold": 2}')])
        await log.append([finished_record(job, state, now, worker="notify", seconds=1.5, **fields)])
        return job.id

    async def send(self, queue: str, *jobs: NewJob) -> list[int]:
        """Enqueues; the ids."""
        return [it.id for it in await self.publisher.enqueue(queue, jobs)]


@asynccontextmanager
async def stand(url: str) -> AsyncIterator[Stand]:
    """An empty virtual host with what all queues share."""
    publisher = RabbitmqPublisher(Endpoint(url))
    async with linked(url) as watched:
        await ensure_shared(watched.link)
        try:
            yield Stand(url, watched.link, Sender(watched.link), publisher, Ids(time.time))
        finally:
            await publisher.close()
