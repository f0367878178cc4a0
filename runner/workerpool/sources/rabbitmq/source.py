"""The JobSource over a RabbitMQ broker: the consume channel is the lease, the streams are the memory."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from workerpool.errors import LeaseLost, PayloadError, SourceError, SourceUnavailable
from workerpool.outcome import Completed, Stale
from workerpool.sources.base import Job, PartlySettled, Settlement, Subscription
from workerpool.sources.rabbitmq.control import Ear
from workerpool.sources.rabbitmq.counting import count_queues
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.feeding import Feeding
from workerpool.sources.rabbitmq.history import event_record
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.marks import Numbered
from workerpool.sources.rabbitmq.outcomes import Plan, plan
from workerpool.sources.rabbitmq.parts import Clocks, Parts, parts_of
from workerpool.sources.rabbitmq.reporting import Reporter, Totals
from workerpool.sources.rabbitmq.settling import Unfinished
from workerpool.sources.rabbitmq.upkeep import Upkeep
from workerpool.sources.wiring import Wired
from workerpool_contract.backlog import Backlog
from workerpool_contract.runnerreport import Control, RunnerReport

log = logging.getLogger("workerpool.rabbitmq")

LISTEN_SECONDS: Final = 10.0
"""How long a start waits for the control queue; without it the runner works, but hears of no cancellation."""
RETIRE_SECONDS: Final = 5.0
"""How long giving back may take: a drain has its own limit, and the broker takes back everything at its end anyway."""
LEFT_ALONE: Final = frozenset({Stale, Completed})
"""Outcomes that ask for nothing: the lease is lost, or the handler saw to it itself.

When the lease is not lost after all, the message goes back later (``Upkeep.left``).
"""


class Identity(NamedTuple):
    """``boot`` is unique per process; ``name`` is that of the replica (its pod)."""

    boot: UUID
    name: str


@dataclass(slots=True)
class RabbitmqSource(Wired):
    """Jobs of one virtual host. ``slots``: jobs that the runner works on at once. ``max_payload``: bytes, 0: no limit.

    ``wall``: unix seconds; ``clock``: monotonic seconds.
    """

    endpoint: Endpoint
    identity: Identity
    slots: int = 0
    max_payload: int = 0
    wall: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    totals: Totals = field(default_factory=Totals)
    _parts: Parts | None = None
    _feeding: Feeding | None = None
    _reporter: Reporter | None = None
    _upkeep: Upkeep | None = None
    _absence: str = ""
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def open(self, subscriptions: Sequence[Subscription], held: Callable[[], Sequence[Job]]) -> None:
        """Connects, declares the queues and listens for cancellations. Raises ConfigError, SourceError."""
        parts = parts_of(
            self.endpoint,
            boot=str(self.identity.boot),
            name=self.identity.name,
            subscriptions=subscriptions,
            clocks=Clocks(self.wall, self.clock),
            max_payload=self.max_payload,
        )
        feeding = Feeding(parts.link, parts.intake, parts.buffers, subscriptions, max(1, self.slots), self._woken.set)
        try:
            await parts.link.open()
        except SourceUnavailable as error:
            self._absence = str(error)
            raise
        try:
            await feeding.declare()
            await parts.registry.open()
            for it in subscriptions:
                await parts.registry.subscribe(it.topic, it.queue)
        except BaseException:
            await parts.link.close()
            raise
        self._parts, self._feeding = parts, feeding
        self._reporter = Reporter(parts.sender, self._report, self.clock)
        self._upkeep = Upkeep(parts, feeding, self._reporter, self.totals, self.clock)
        parts.link.on_lost(self._lost)
        parts.link.on_ready(self._ready)
        ear = Ear(parts.link, self._heard)
        self._tasks = [
            asyncio.create_task(ear.run(), name="control"),
            asyncio.create_task(self._upkeep.run(), name="upkeep"),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_SECONDS):
                await ear.listening.wait()

    async def claim(self, wants: Mapping[str, int]) -> list[Job]:
        """At most ``wants[queue]`` jobs of each queue."""
        parts, feeding = self._must_parts(), self._must_feeding()
        if not parts.link.connected:
            raise SourceUnavailable(self.detail)
        now = self.wall()
        for buffer in parts.buffers.values():
            buffer.ripen(now)
        await feeding.top_up(wants)
        if parts.intake.pending and await self._resolve() and not feeding.consuming:
            await feeding.top_up(wants)
        jobs: list[Job] = []
        for queue, limit in wants.items():
            for it in parts.buffers[queue].take(limit):
                jobs.append(it.claimed(now))
                parts.holding.handed_out(it)
        if self._upkeep is not None:
            self._upkeep.claimed(wants, len(jobs))
        return jobs

    async def wait(self, timeout: float) -> bool:
        """Until something arrived, a kept job is due, or the timeout."""
        parts, feeding = self._must_parts(), self._must_feeding()
        if parts.link.connected and (not feeding.consuming or feeding.consumers.missing):
            try:
                await feeding.consume()
            except SourceError as error:
                log.warning("Consuming paused: %s", error)
        due = min((it for buffer in parts.buffers.values() if (it := buffer.next_due) is not None), default=None)
        return await self._woken_or_due(timeout, None if due is None else due - self.wall())

    async def settle(self, settlements: Sequence[Settlement]) -> list[Job]:
        """Publishes, confirms, records, acknowledges; returns the jobs that belong to the broker again."""
        parts, now = self._must_parts(), round(self.wall() * 1000)
        stale: list[Job] = []
        plans: list[Plan] = []
        carried: list[Settlement] = []
        for it in settlements:
            delivery: Delivery = it.job.handle
            if type(it.outcome) in LEFT_ALONE:
                delivery.left = self.clock() if type(it.outcome) is Stale else None
                continue
            if delivery.over or delivery.settling or not (parts.holding.has(delivery) or delivery.routed):
                stale.append(it.job)
                continue
            plans.append(plan(it, now, parts.fresh))
            carried.append(it)
        if plans:
            try:
                await parts.settling.carry_out(plans)
            except Unfinished as error:
                refused = [it for it in carried if not it.job.handle.over]
                # No job is at fault for what the broker may take later.
                cause = error.cause if isinstance(error.cause, PayloadError) else error
                raise PartlySettled(cause, stale, refused) from None
            finally:
                # Whatever went wrong, nobody settles these again.
                self.totals.count([it for it in carried if it.job.handle.over])
        return stale

    async def mark(self, job: Job) -> bool:
        """Notes that a job which crashed before is about to start."""
        parts, delivery = self._must_parts(), self._delivery(job)
        if delivery is None:
            return False
        if delivery.message_id is not None:
            await parts.marks.mark(Numbered(delivery.lane, delivery.message_id, delivery.number))
        return parts.holding.has(delivery)

    async def progress(self, job: Job, state: str, percent: int | None, data: str | None) -> None:
        """Records an event in the history. Raises LeaseLost, SourceError."""
        delivery = self._delivery(job)
        if delivery is None:
            raise LeaseLost(f"job {job.id} of {job.queue} belongs to the broker again, and maybe to another runner")
        now = round(self.wall() * 1000)
        await self._must_parts().history.append([event_record(delivery.envelope, now, state, percent, data)])

    async def backlog(self) -> dict[str, Backlog]:
        """One reading per queue: what the broker counts, and what this process holds and did. Raises SourceError."""
        parts = self._must_parts()
        counts = await count_queues(parts.link, list(parts.buffers))
        return {
            queue: Backlog(
                ready=count.ready,
                in_flight=parts.holding.unsettled[queue],
                delayed=count.delayed,
                dead=count.dead,
                completed=self.totals.completed[queue],
                failed=self.totals.failed[queue],
            )
            for queue, count in counts.items()
        }

    async def retire(self) -> None:
        """Stops the consumers and gives back what nobody claimed, so that other runners have it during the drain."""
        if self.connected:
            try:
                async with asyncio.timeout(RETIRE_SECONDS):
                    await self._retire(self._must_parts(), self._must_feeding())
            except TimeoutError:
                raise SourceUnavailable(f"{self.detail} did not answer in {RETIRE_SECONDS:g} s") from None

    async def close(self) -> None:
        """Gives back what was never claimed, and the connections; what was claimed is delivered to others."""
        parts, feeding = self._parts, self._feeding
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if parts is None or feeding is None:
            return
        try:
            await self.retire()
            if self._reporter is not None and parts.link.connected:
                await self._reporter.tell(gone=True)
        except SourceError as error:
            log.warning("Left without a word, the broker hands on what was taken: %s", error)
        finally:
            self._parts = self._feeding = None
            await parts.registry.close()
            await parts.link.close()

    @property
    def holding(self) -> Holding:
        """What this process has of the broker and has not settled. Raises SourceUnavailable unless open."""
        return self._must_parts().holding

    @property
    def connected(self) -> bool:
        """Whether both connections to the broker are there."""
        parts = self._parts
        return parts is not None and parts.link.connected

    @property
    def deaf(self) -> bool:
        """Whether jobs are ready on the broker, slots are idle, and not even a new channel made them come."""
        return self._upkeep is not None and self._upkeep.watchdog.deaf

    @property
    def detail(self) -> str:
        """The broker and its version, or why it isn't connected."""
        parts = self._parts
        if parts is None:
            return self._absence or f"{self.endpoint.shown}: not connected yet"
        link = parts.link
        if link.connected:
            return f"{self.endpoint.shown} (version {link.version_text})"
        return f"{self.endpoint.shown}: {link.last_error or 'connecting'}"

    async def _resolve(self) -> int:
        """Sees to what needs a word with the broker; jobs that are ready don't wait for what goes wrong there."""
        parts = self._must_parts()
        try:
            return await parts.intake.resolve()
        except SourceError as error:
            if not any(len(buffer) for buffer in parts.buffers.values()):
                raise
            log.warning("Some messages wait for the broker: %s", error)
            return 0

    async def _retire(self, parts: Parts, feeding: Feeding) -> None:
        await feeding.stop()
        async with parts.intake.resolving:
            unclaimed = [it for buffer in parts.buffers.values() for it in buffer.clear()]
            unclaimed += parts.intake.unresolved
            parts.intake.clear()
        await parts.returning.give_back([*unclaimed, *parts.holding.taken_up(self.clock())])
        await parts.returning.hand_over(parts.holding.left_before(self.clock()))

    def _ready(self) -> None:
        if self._feeding is not None:
            self._feeding.declared = False
        self._woken.set()

    def _lost(self, why: str) -> None:
        parts, feeding = self._must_parts(), self._must_feeding()
        jobs = parts.holding.lost()
        for buffer in parts.buffers.values():
            buffer.clear()
        parts.intake.clear()
        feeding.lost()
        if jobs:
            log.warning("%d jobs are lost with their channel: %s", len(jobs), why)
            self._on_fenced(jobs)
        self._woken.set()

    async def _heard(self, control: Control, reply_to: str | None, correlation_id: str | None) -> None:
        if self._parts is None:
            return
        if control.kind == "report":
            if self._reporter is not None:
                await self._reporter.tell()
            return
        ids, jobs = await self._parts.cancelling.cancel(frozenset(control.ids))
        if jobs:
            self._on_cancelled(jobs)
        if reply_to:
            await self._parts.cancelling.answer(reply_to, correlation_id, ids)

    def _report(self) -> RunnerReport:
        holding = self._must_parts().holding
        return RunnerReport(
            boot=str(self.identity.boot),
            name=self.identity.name,
            queues=tuple(self._must_parts().buffers) if self._must_feeding().consuming else (),
            slots=self.slots,
            busy=len(holding.jobs),
            held={queue: count for queue, count in holding.unsettled.items() if count},
            completed=dict(self.totals.completed),
            failed=dict(self.totals.failed),
            service_seconds=self.totals.mean,
        )

    def _delivery(self, job: Job) -> Delivery | None:
        delivery: Delivery = job.handle
        return delivery if self._must_parts().holding.has(delivery) and not delivery.settling else None

    def _must_parts(self) -> Parts:
        if self._parts is None:
            raise SourceUnavailable("the source is not open")
        return self._parts

    def _must_feeding(self) -> Feeding:
        if self._feeding is None:
            raise SourceUnavailable("the source is not open")
        return self._feeding
