"""Jobs as messages, put where they belong: to a topic's subscribers or, when delayed or keyed, queue by queue."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final, NamedTuple

from workerpool.errors import SourceError
from workerpool.sources.base import Enqueued, NewJob
from workerpool.sources.rabbitmq.envelope import Envelope, copy_id, encode, new_envelope
from workerpool.sources.rabbitmq.ids import Ids
from workerpool.sources.rabbitmq.keys import Keys, Request, marker
from workerpool.sources.rabbitmq.ladder import wait_exchange
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import lane, topic_exchange

LOGGER = logging.getLogger(__name__)

KEYED: Final = 100
"""Keys that are claimed at a time: all of them long before somebody else gives the first one up for abandoned."""


class _Copy(NamedTuple):
    """The job of one queue; ``number``: which job of the call it is a copy of."""

    number: int
    envelope: Envelope
    delay: float

    @property
    def request(self) -> Request:
        """Its unique key."""
        assert self.envelope.key is not None
        return Request(self.envelope.queue, self.envelope.key, self.envelope.id, self.delay)

    @property
    def outgoing(self) -> Outgoing:
        """To its lane, or down the ladder of waits."""
        job = self.envelope
        return Outgoing(wait_exchange(self.delay), lane(job.queue, job.priority), *encode(job))


class Placing:
    """Publishes jobs over an open link. ``wall``: unix seconds. Raises PayloadError, SourceUnavailable, SourceError."""

    def __init__(self, link: Link, wall: Callable[[], float]) -> None:
        """Reads nothing yet: plain jobs need no registry."""
        sender = Sender(link)
        self._wall = wall
        self._ids = Ids(wall)
        self._sender = sender
        self._keys = Keys(link)
        self._registry = Registry(link, sender)
        self._routing = Routing(link, sender, self._registry.note)

    async def place(self, topic: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Durable when it returns; one answer per job."""
        made: list[Enqueued] = []
        for addressed, group in groupby(jobs, key=_is_addressed):
            run = list(group)
            if not addressed:
                made += await self._copied_by_broker(topic, run)
                continue
            for start in range(0, len(run), KEYED):
                made += await self._addressed(topic, run[start : start + KEYED])
        return made

    async def close(self) -> None:
        """Ends the reading of the registry."""
        await self._registry.close()

    async def _copied_by_broker(self, topic: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        now = self._wall()
        envelopes = [new_envelope(topic, self._ids.next(), job, now) for job in jobs]
        messages = [Outgoing(topic_exchange(it.priority), topic, *encode(it)) for it in envelopes]
        await self._routing.send_to_topic(topic, messages)
        return [Enqueued(it.id, duplicate=False) for it in envelopes]

    async def _addressed(self, topic: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        ids = [self._ids.next() for _ in jobs]
        copies = self._copies(await self._targets(topic), topic, jobs, ids)
        keyed = [it for it in copies if it.envelope.key is not None]
        owners = dict(zip(keyed, await self._keys.claim([it.request for it in keyed]), strict=True))
        fresh = [it for it in copies if owners.get(it) is None]
        try:
            await self._deliver(fresh)
        except BaseException:
            # Whoever tries again must not be told that the job is there.
            with suppress(SourceError):
                await self._keys.release([_held(it) for it in fresh if it.envelope.key is not None])
            raise
        await self._mark([it for it in fresh if it.envelope.key is not None])
        answers = []
        for number, id_ in enumerate(ids):
            others = [owners.get(it) for it in copies if it.number == number]
            taken = [owner for owner in others if owner is not None]
            duplicate = len(taken) == len(others)
            answers.append(Enqueued(taken[0] if duplicate else id_, duplicate))
        return answers

    def _copies(self, targets: Sequence[str], topic: str, jobs: Sequence[NewJob], ids: Sequence[int]) -> list[_Copy]:
        now = self._wall()
        return [
            _Copy(number, new_envelope(queue, id_ if queue == topic else copy_id(id_, queue), job, now), job.delay)
            for number, (job, id_) in enumerate(zip(jobs, ids, strict=True))
            for queue in targets
        ]

    async def _deliver(self, copies: Sequence[_Copy]) -> None:
        for queue in dict.fromkeys(it.envelope.queue for it in copies):
            await self._routing.ready(queue)
            await self._routing.send([it.outgoing for it in copies if it.envelope.queue == queue])

    async def _mark(self, copies: Sequence[_Copy]) -> None:
        """Says that the jobs of these keys are on the broker: only now, or a key could outlive a job that was lost."""
        if not copies:
            return
        try:
            await self._sender.send([marker(*_held(it)) for it in copies])
        except SourceError as error:
            LOGGER.warning("%d unique keys hold for a few seconds only: %s", len(copies), error)

    async def _targets(self, topic: str) -> Sequence[str]:
        await self._registry.open()
        return self._registry.queues_of(topic) or (topic,)


def _is_addressed(job: NewJob) -> bool:
    return job.delay > 0 or job.unique_key is not None


def _held(copy: _Copy) -> tuple[str, str, int]:
    job = copy.envelope
    assert job.key is not None
    return job.queue, job.key, job.id
