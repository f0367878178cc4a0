"""The adapter for RabbitMQ: the clock of sources and publishers is shifted, and what that makes due is moved by hand.

A broker has no clock to shift: its wait queues count real seconds. ``advance`` moves the sources' clock instead, sends
waiting messages on that are due by it, and closes the channels of runners that hang, as the broker would in time.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from tests.conformance.engine import LEASE, Dead, Event, Finished
from tests.support.waiting import eventually
from workerpool.outcome import Expired, Interrupted
from workerpool.sources.base import Job, JobSource, Publisher, Settlement, Subscription
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.crashes import delivery_number
from workerpool.sources.rabbitmq.deadletters import decode_dead
from workerpool.sources.rabbitmq.declare import ensure_shared
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import Envelope
from workerpool.sources.rabbitmq.ids import Ids
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.marks import Marks, Numbered
from workerpool.sources.rabbitmq.messages import Arrival, arrival, job_of
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.source import Identity, RabbitmqSource
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.backlog import Backlog
from workerpool_contract.rabbitmq import CONTROL, HEADER_DUE, HISTORY, MARKS, REPORTS, WAITS, dead, lanes
from workerpool_contract.runnerreport import Control, RunnerReport, read_report

START, START_STEADY = time.time(), time.monotonic()


class _Source:
    """A source that can hang: then it is closed, or loses its channel, only when its lease would have run out."""

    def __init__(self, inner: RabbitmqSource, stalled: Callable[[], bool]) -> None:
        self.inner = inner
        self.stalled = stalled
        self.silent_for = 0.0
        self.closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def close(self) -> None:
        """One that still holds jobs is a runner that is cut off: its channel ends only when a lease would."""
        if self.inner.connected and self.inner.holding.jobs:
            self.closing = True
        else:
            await self.inner.close()

    async def give_up(self) -> None:
        if self.closing:
            await self.inner.close()
            return
        link = self.inner.holding.link
        before = link.epoch
        link.reset("the runner hung")
        await eventually(lambda: _true(link.connected and link.epoch > before), "another channel")


@dataclass
class RabbitmqAdapter:
    """One virtual host. ``link``: the adapter's own, for what only a test looks at."""

    url: str
    link: Link
    sender: Sender
    channel: AbstractChannel
    _skipped: float = 0.0
    _sources: list[_Source] = field(default_factory=list)
    _reports: dict[str, RunnerReport] = field(default_factory=dict)
    _answers: set[str] = field(default_factory=set)

    def source(self, stalled: Callable[[], bool]) -> JobSource:
        boot = uuid4()
        inner = RabbitmqSource(Endpoint(self.url), Identity(boot, f"runner-{len(self._sources)}"), 10, wall=self.wall)
        made = _Source(inner, stalled)
        self._sources.append(made)
        return made

    def publisher(self) -> Publisher:
        return RabbitmqPublisher(Endpoint(self.url), wall=self.wall)

    async def advance(self, seconds: float) -> None:
        self._skipped += seconds
        for source in self._sources:
            source.silent_for = source.silent_for + seconds if source.closing or source.stalled() else 0.0
            if source.silent_for >= LEASE and (source.closing or source.inner.connected):
                source.silent_for = 0.0
                held = dict(source.inner.holding.unsettled)
                before = {queue: await self._ready(queue) for queue in held}
                await source.give_up()
                for queue, count in held.items():
                    await self._returned(queue, before[queue] + count)
        await self._move_on(lambda job: job.due is not None and job.due <= self.wall() * 1000)
        for source in self._sources:
            source.inner.wake()

    async def renewed(self) -> None:
        """A channel needs no renewal."""

    async def backlog(self, queue: str) -> Backlog:
        await self._ask_all()
        reports = self._reports.values()
        heads = [job.enqueued for lane in lanes(queue) for job in await self._peek(lane, 1)]
        delayed = [job.due or 0 for wait in WAITS for job in await self._peek(wait.name) if job.queue == queue]
        now = self.wall()
        return Backlog(
            ready=await self._ready(queue),
            in_flight=sum(report.held.get(queue, 0) for report in reports if not report.gone),
            delayed=len(delayed),
            dead=await self._count(dead(queue)),
            oldest_age=now - min(heads) / 1000 if heads else None,
            next_due=min(delayed) / 1000 - now if delayed else None,
            completed=sum(it.inner.totals.completed[queue] for it in self._sources),
            failed=sum(it.inner.totals.failed[queue] for it in self._sources),
        )

    async def dead(self, queue: str) -> list[Dead]:
        fresh = Ids(self.wall).next
        messages = await self._browse(dead(queue))
        letters = [decode_dead(queue, it.body, it.properties, self.wall(), fresh) for it in messages]
        forwarded = [record for record in await self._history() if record.get("forwarded") and record["queue"] == queue]
        return [
            Dead(
                (job := it.envelope).id,
                it.reason,
                it.error,
                it.worker,
                job.priority,
                job.attempts,
                job.crashes,
                job.payload,
                job.headers,
            )
            for it in letters
        ] + [Dead(*(record[name] for name in ("id", "reason", *Dead._fields[2:]))) for record in forwarded]

    async def finished(self, queue: str) -> list[Finished]:
        lines = [it for it in await self._history() if "state" in it and "id" in it and it["queue"] == queue]
        return [
            Finished(it["id"], it["state"], it["attempts"], it.get("error"), it.get("result"))
            for it in sorted(lines, key=lambda it: int(it["id"]))
        ]

    async def events(self, job: Job) -> list[Event]:
        return [
            Event(it["attempt"], it["state"], it["percent"], it["data"])
            for it in await self._history()
            if it.get("event") == job.id
        ]

    async def cancel(self, job_id: int) -> bool:
        async with RabbitmqAdmin(Endpoint(self.url), wall=self.wall) as admin:
            return (await admin.cancel(job_id)).changed

    async def expire(self) -> None:
        """What nobody claims stays where it is until a runner comes by, who takes out what expired: here is one."""
        await self._move_on(lambda job: job.expires is not None and job.expires <= self.wall() * 1000)
        registry = Registry(self.link, self.sender)
        await registry.open()
        queues = list(registry.known())
        await registry.close()
        passer = RabbitmqSource(Endpoint(self.url), Identity(uuid4(), "passer-by"), 10, wall=self.wall)
        await passer.open([Subscription(queue, queue) for queue in queues], tuple)
        jobs = await passer.claim(dict.fromkeys(queues, 100))
        ends = [Settlement(job, Expired() if job.expired else Interrupted(), 0.0, "passer-by") for job in jobs]
        assert await passer.settle(ends) == []
        await passer.close()

    async def close(self) -> None:
        for source in self._sources:
            await source.inner.close()
        await self.link.close()

    def wall(self) -> float:
        """Unix seconds; they pass a hundred times slower than real ones, so that a slow machine changes no outcome."""
        return START + (time.monotonic() - START_STEADY) / 100 + self._skipped

    async def listen(self) -> None:
        """Hears the reports of the sources."""
        declared = await self.channel.queue_declare("", exclusive=True)
        await self.channel.queue_bind(declared.queue or "", REPORTS)
        await self.channel.basic_consume(declared.queue or "", self._reported, no_ack=True)

    async def _reported(self, message: DeliveredMessage) -> None:
        report = read_report(message.body)
        self._reports[report.boot] = report
        self._answers.add(report.boot)

    async def _ask_all(self) -> None:
        asked = {str(it.inner.identity.boot) for it in self._sources if it.inner.connected}
        self._answers.clear()
        await self.sender.send([Outgoing(CONTROL, "", Control("report").to_json(), {}, mandatory=False)])
        await eventually(lambda: _true(asked <= self._answers), "the reports of all sources")

    async def _history(self) -> list[dict[str, Any]]:
        return await StreamLog(self.link, self.sender, HISTORY).read()

    async def _ready(self, queue: str) -> int:
        return sum([await self._count(lane) for lane in lanes(queue)])

    async def _returned(self, queue: str, count: int) -> None:
        async def there() -> bool:
            return await self._ready(queue) >= count

        await eventually(there, f"the return of what was held of {queue}")

    async def _count(self, name: str) -> int:
        try:
            async with self.link.scratch() as channel:
                return (await channel.queue_declare(name, passive=True)).message_count or 0
        except Exception as error:
            if type(error).__name__ != "ChannelNotFoundEntity":
                raise
            return 0

    async def _browse(self, name: str, limit: int = 1000) -> list[Arrival]:
        """Messages of a queue, which are given back; nobody is charged for this delivery."""
        found: list[Arrival] = []
        if not await self._count(name):
            return found
        marks = Marks(StreamLog(self.link, self.sender, MARKS))
        async with self.link.scratch() as channel:
            while len(found) < limit and (it := await _get(channel, name)) is not None:
                found.append(it)
            await marks.forgive(_numbered(it) for it in found)
            for it in found:
                await channel.basic_nack(it.tag, requeue=True)
        return found

    async def _peek(self, name: str, limit: int = 1000) -> list[Envelope]:
        return [self._job(it) for it in await self._browse(name, limit)]

    async def _move_on(self, ready: Callable[[Envelope], bool]) -> None:
        """Sends the waiting jobs that are ``ready`` to their lanes, as if their time had come."""
        for wait in WAITS:
            if not await self._count(wait.name):
                continue
            async with self.link.scratch() as channel:
                kept: list[int] = []
                while (it := await _get(channel, wait.name)) is not None:
                    if ready(self._job(it)):
                        headers = {name: value for name, value in it.properties.headers.items() if name != HEADER_DUE}
                        await self.sender.send([Outgoing("", it.routing_key, it.body, headers)])
                        await channel.basic_ack(it.tag)
                    else:
                        kept.append(it.tag)
                for tag in kept:
                    await channel.basic_nack(tag, requeue=True)

    def _job(self, it: Arrival) -> Envelope:
        job = job_of(it, self.wall(), lambda: 0)
        assert isinstance(job, Envelope)
        return job


@asynccontextmanager
async def rabbitmq(url: str) -> AsyncIterator[RabbitmqAdapter]:
    """An adapter for a virtual host."""
    link = Link(Endpoint(url), name="conformance")
    await link.open()
    await ensure_shared(link)
    adapter = RabbitmqAdapter(url, link, Sender(link), link.consume_channel())
    await adapter.listen()
    try:
        yield adapter
    finally:
        await adapter.close()


async def _get(channel: AbstractChannel, name: str) -> Arrival | None:
    message = await channel.basic_get(name)
    if isinstance(message.delivery, Basic.GetEmpty):
        return None
    lane = message.routing_key or ""
    return arrival(lane.removesuffix(".high").removesuffix(".low"), name, message)


def _numbered(it: Arrival) -> Numbered:
    number = delivery_number(it.properties.headers, redelivered=it.redelivered)
    return Numbered(it.lane, it.properties.message_id or "", number)


async def _true(value: bool) -> bool:
    return value
