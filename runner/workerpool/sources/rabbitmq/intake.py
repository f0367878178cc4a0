"""Arrivals, sorted: ready jobs go to their queue's buffer at once, what needs a word with the broker waits for it.

Four kinds need one: messages that can't be jobs, jobs that are not due, jobs that were delivered before (how many
crashes is that?), and those that this process settled already without the broker getting to know.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from workerpool.sources.rabbitmq.buffer import Buffer
from workerpool.sources.rabbitmq.crashes import charged, delivery_number
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.envelope import Envelope, Invalid, encode, is_own
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.ladder import KEPT
from workerpool.sources.rabbitmq.marks import Marks, Numbered, Question
from workerpool.sources.rabbitmq.messages import Arrival, job_of
from workerpool.sources.rabbitmq.outcomes import invalid, waiting
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.settling import Settling

log = logging.getLogger("workerpool.rabbitmq")

MARKS_MARGIN: Final = 60.0
"""Seconds by which clocks may differ: marks are looked for from that long before the job was enqueued."""


@dataclass(slots=True)
class Intake:
    """Takes what arrives.

    ``rehome_at``: deliveries after which a message is copied, so that only real crash loops meet the queue's limit.
    ``wall``: unix seconds; ``clock``: steady seconds. ``max_payload``: bytes, 0 for no limit.
    """

    holding: Holding
    settling: Settling
    marks: Marks
    buffers: Mapping[str, Buffer]
    wall: Callable[[], float]
    clock: Callable[[], float]
    fresh: Callable[[], int]
    rehome_at: int
    max_payload: int = 0
    last: float = float("-inf")
    resolving: asyncio.Lock = field(default_factory=asyncio.Lock)
    _broken: list[tuple[Delivery, Invalid]] = field(default_factory=list)
    _early: list[Delivery] = field(default_factory=list)
    _again: list[tuple[Delivery, bool]] = field(default_factory=list)
    _settled: list[Delivery] = field(default_factory=list)

    def arrived(self, it: Arrival, epoch: int) -> bool:
        """Takes one arrival; whether a job is ready by it, or may be once the broker was asked."""
        now = self.wall()
        self.last = self.clock()
        job = job_of(it, now, self.fresh, self.max_payload)
        envelope = job.envelope if isinstance(job, Invalid) else job
        number = delivery_number(it.properties.headers, redelivered=it.redelivered) if it.redelivered else 0
        own = is_own(it.properties)
        delivery = Delivery(
            epoch,
            it.tag,
            it.lane,
            envelope,
            it.properties.message_id if own else None,
            number,
            self.last,
            envelope.crashes,
        )
        self.holding.arrived(it.queue)
        if isinstance(job, Invalid):
            self._broken.append((delivery, job))
        elif number or it.redelivered:
            return self._was_here_before(delivery, own=own)
        else:
            return self._place(delivery, now)
        return False

    @property
    def pending(self) -> bool:
        """Whether ``resolve`` has something to do."""
        return bool(self._broken or self._early or self._again or self._settled)

    @property
    def unresolved(self) -> Sequence[Delivery]:
        """What waits for ``resolve``."""
        return [*(it for it, _ in self._broken), *self._early, *(it for it, _ in self._again), *self._settled]

    async def resolve(self) -> int:
        """Asks and tells the broker what needs it; returns how many jobs went back to their queue as a copy.

        Raises SourceError; what was not done then is done by the next call. One at a time: what two see to at once
        would be acknowledged twice.
        """
        async with self.resolving:
            return await self._resolve()

    async def _resolve(self) -> int:
        again = 0
        if self._again:
            again = await self._judge()
        if self._broken:
            await self._bury()
        if self._early:
            await self._send_on()
        if self._settled:
            done, self._settled = self._settled, []
            log.info("%d jobs that were settled already came again and are not run twice", len(done))
            await self.holding.ack(done)
        return again

    def clear(self) -> None:
        """The channel is gone and everything with it."""
        for waiting_ in (self._broken, self._early, self._again, self._settled):
            waiting_.clear()

    def discard(self, it: Delivery) -> None:
        """This one is settled in another way."""
        self._broken = [entry for entry in self._broken if entry[0] is not it]
        self._again = [entry for entry in self._again if entry[0] is not it]
        for waiting_ in (self._early, self._settled):
            if it in waiting_:
                waiting_.remove(it)

    def _was_here_before(self, it: Delivery, *, own: bool) -> bool:
        if it.message_id is not None and self.holding.was_settled(it.message_id):
            self._settled.append(it)
            return False
        if not it.number:
            return self._place(it, self.wall())
        self._again.append((it, own))
        return True

    def _place(self, it: Delivery, now: float) -> bool:
        due = it.envelope.due
        buffer = self.buffers[it.envelope.queue]
        if due is None or due <= now * 1000:
            buffer.put(it)
            return True
        if due - now * 1000 <= KEPT * 1000:
            buffer.keep(it, due)
        else:
            self._early.append(it)
        return False

    async def _bury(self) -> None:
        broken = self._broken
        now = round(self.wall() * 1000)
        plans = [invalid(it, refused.body, f"the payload {refused.why}", now) for it, refused in broken]
        for plan in plans:
            log.error(
                "Dead letter (invalid): a message of %s: %s", plan.delivery.lane, plan.record and plan.record["error"]
            )
        await self.settling.carry_out(plans)
        self._broken = [entry for entry in self._broken if entry not in broken]

    async def _send_on(self) -> None:
        early, now = self._early, self.wall()
        await self._copy(early, [waiting(it.charged(), _remaining(it.envelope, now)) for it in early])
        self._early = [it for it in self._early if it not in early]

    async def _judge(self) -> int:
        asked = list(self._again)
        questions = [
            Question(Numbered(it.lane, it.message_id, it.number), it.crashes) for it, _ in asked if it.message_id
        ]
        found: dict[int, int] = {}
        if questions:
            since = min(it.envelope.enqueued for it, _ in asked if it.message_id) / 1000 - MARKS_MARGIN
            answers = await self.marks.judge(questions, since)
            found = dict(zip((it.tag for it, _ in asked if it.message_id), answers, strict=True))
        copied: list[Delivery] = []
        for it, _ in asked:
            if not self.holding.is_current(it):
                continue
            it.crashes = found.get(it.tag, charged(it.envelope.crashes, it.number, frozenset(), frozenset()))
            # A foreign message has nothing by which it could be known again: its copy has.
            if it.message_id is None or it.number >= self.rehome_at:
                copied.append(it)
        await self._copy(copied, [Outgoing("", it.lane, *encode(it.charged())) for it in copied])
        settled = set(copied)
        self._again = [entry for entry in self._again if entry not in asked]
        for it, _ in asked:
            if it not in settled and self.holding.is_current(it):
                self._place(it, self.wall())
        return len(copied)

    async def _copy(self, deliveries: Sequence[Delivery], copies: Sequence[Outgoing]) -> None:
        if deliveries:
            await self.settling.replace(deliveries, copies)


def _remaining(job: Envelope, now: float) -> float:
    return (job.due or 0) / 1000 - now
