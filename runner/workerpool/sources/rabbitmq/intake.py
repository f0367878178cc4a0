"""Arrivals, sorted: ready jobs go to their queue's buffer at once, what needs a word with the broker waits for it.

Four kinds need one: messages that are dead (they can't be jobs, or were set aside), jobs that are not due, jobs that
were delivered before (how many crashes is that?), and those that this process settled already without the broker
getting to know.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from workerpool.errors import SourceError
from workerpool.sources.rabbitmq.buffer import Buffer
from workerpool.sources.rabbitmq.crashes import charged, delivery_number, is_uncounted
from workerpool.sources.rabbitmq.deadletters import DeadJob
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.envelope import Envelope, Invalid, encode, is_own
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.ladder import KEPT
from workerpool.sources.rabbitmq.marks import Marks, Numbered, Question
from workerpool.sources.rabbitmq.messages import Arrival, job_of
from workerpool.sources.rabbitmq.outcomes import Plan, buried, invalid, waiting
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.settling import Settling

log = logging.getLogger("workerpool.rabbitmq")

MARKS_MARGIN: Final = 60.0
"""Seconds by which clocks may differ: marks are looked for from that long before the job was enqueued."""


class Withdrawn(NamedTuple):
    """Jobs that were taken out, to be settled in another way: ``again`` those to be judged yet, and ``other`` ones."""

    again: Sequence[tuple[Delivery, bool]]
    other: Sequence[Delivery]

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """All of them."""
        return [*(it for it, _ in self.again), *self.other]


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
    _broken: list[tuple[Delivery, Invalid | DeadJob]] = field(default_factory=list)
    _early: list[Delivery] = field(default_factory=list)
    _again: list[tuple[Delivery, bool]] = field(default_factory=list)
    _settled: list[Delivery] = field(default_factory=list)
    _unburied: str = ""

    def arrived(self, it: Arrival, epoch: int) -> bool:
        """Takes one arrival; whether a job is ready by it, or may be once the broker was asked."""
        now = self.wall()
        self.last = self.clock()
        job = job_of(it, now, self.fresh, self.max_payload)
        envelope = job.envelope if isinstance(job, Invalid) else job
        number = delivery_number(it.properties.headers, redelivered=it.redelivered) if it.redelivered else 0
        own, broken = is_own(it.properties), isinstance(job, Invalid)
        delivery = Delivery(
            epoch,
            it.tag,
            it.lane,
            envelope,
            it.properties.message_id if own else None,
            number,
            self.last,
            envelope.crashes,
            readable=not broken,
        )
        self.holding.arrived(it.queue)
        if isinstance(job, Invalid):
            self._broken.append((delivery, job))
        elif number or it.redelivered:
            uncounted = is_uncounted(it.properties.headers, redelivered=it.redelivered)
            return self._was_here_before(delivery, uncounted=uncounted)
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
        return [*(it for it, _ in self._broken), *self.jobs, *self._settled]

    @property
    def jobs(self) -> Sequence[Delivery]:
        """The jobs that wait for ``resolve``, without those that are over and what can't be one."""
        return [*self._early, *(it for it, _ in self._again)]

    async def resolve(self) -> int:
        """Asks and tells the broker what needs it; returns how many jobs went back to their queue as a copy.

        Raises SourceError; what was not done then is done by the next call. One at a time: what two see to at once
        would be acknowledged twice.
        """
        async with self.resolving:
            try:
                return await self._resolve()
            finally:
                # The broker may have taken some and refused others, which stay.
                self._forget_over()

    async def _resolve(self) -> int:
        again = 0
        if self._settled:
            done, self._settled = self._settled, []
            log.info("%d jobs that were settled already came again and are not run twice", len(done))
            await self.holding.ack(done)
        if self._again:
            again = await self._judge()
        if self._early:
            await self._send_on()
        if self._broken:
            await self._bury()
        return again

    def _forget(self, deliveries: AbstractSet[Delivery]) -> None:
        self._again = [entry for entry in self._again if entry[0] not in deliveries]
        self._early = [it for it in self._early if it not in deliveries]

    def _forget_over(self) -> None:
        self._broken = [entry for entry in self._broken if not entry[0].over]
        self._again = [entry for entry in self._again if not entry[0].over]
        self._early = [it for it in self._early if not it.over]

    def clear(self) -> None:
        """The channel is gone and everything with it."""
        for waiting_ in (self._broken, self._early, self._again, self._settled):
            waiting_.clear()

    def withdraw(self, ids: frozenset[int]) -> Withdrawn:
        """Takes out the jobs of these ids that nobody settles, here and in the buffers."""
        again = [entry for entry in self._again if entry[0].envelope.id in ids and self.holding.is_free(entry[0])]
        other = [it for it in self._early if it.envelope.id in ids and self.holding.is_free(it)]
        self._forget({*(it for it, _ in again), *other})
        for buffer in self.buffers.values():
            found = [it for it in buffer.find(ids) if self.holding.is_free(it)]
            for it in found:
                buffer.remove(it)
            other += found
        return Withdrawn(again, other)

    def restore(self, withdrawn: Withdrawn) -> None:
        """Puts back what was withdrawn and is not settled after all."""
        self._again += [entry for entry in withdrawn.again if self.holding.is_free(entry[0])]
        now = self.wall()
        for it in withdrawn.other:
            if self.holding.is_free(it):
                self._place(it, now)

    def _was_here_before(self, it: Delivery, *, uncounted: bool) -> bool:
        if self.holding.was_settled(it):
            self._settled.append(it)
            return False
        if (letter := self.settling.condemned(it)) is not None:
            self._broken.append((it, letter))
            return False
        if not it.number:
            return self._place(it, self.wall())
        self._again.append((it, uncounted))
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
        """No claim fails for what is dead: it waits for the next call."""
        now = round(self.wall() * 1000)
        plans = [_letter(it, refused, now) for it, refused in self._broken if self.holding.is_free(it)]
        why = ""
        try:
            await self.settling.carry_out(plans)
        except SourceError as error:
            why = str(error)
        if why and why != self._unburied:
            log.warning("Some dead letters wait for the broker: %s", why)
        self._unburied = why
        for plan in plans:
            if plan.delivery.recorded and plan.record is not None:
                log.error(
                    "Dead letter (%s): a message of %s: %s",
                    plan.record["reason"],
                    plan.delivery.lane,
                    plan.record["error"],
                )

    async def _send_on(self) -> None:
        early, now = [it for it in self._early if self.holding.is_free(it)], self.wall()
        await self._copy([(it, waiting(it.charged(), _remaining(it.envelope, now))) for it in early])
        self._forget(set(early))

    async def _judge(self) -> int:
        asked = [entry for entry in self._again if self.holding.is_free(entry[0])]
        questions = [
            Question(Numbered(it.lane, it.message_id, it.number), it.envelope.crashes)
            for it, _ in asked
            if it.message_id
        ]
        found: dict[int, int] = {}
        if questions:
            since = min(it.envelope.enqueued for it, _ in asked if it.message_id) / 1000 - MARKS_MARGIN
            answers = await self.marks.judge(questions, since)
            found = dict(zip((it.tag for it, _ in asked if it.message_id), answers, strict=True))
        copied: list[Delivery] = []
        # What was given back or cancelled while the broker was asked is in other hands.
        here = {it for it, _ in self._again}
        asked = [entry for entry in asked if entry[0] in here and self.holding.is_free(entry[0])]
        for it, uncounted in asked:
            it.crashes = found.get(it.tag, charged(it.envelope.crashes, it.number, frozenset(), frozenset()))
            # A foreign message has nothing by which it could be known again: its copy has.
            if it.message_id is None or uncounted or it.number >= self.rehome_at:
                copied.append(it)
        settled = set(copied)
        ready = [it for it, _ in asked if it not in settled]
        self._forget(set(ready))
        for it in ready:
            self._place(it, self.wall())
        await self._copy([(it, Outgoing("", it.lane, *encode(it.charged()))) for it in copied])
        self._forget(settled)
        return len(copied)

    async def _copy(self, copies: Sequence[tuple[Delivery, Outgoing]]) -> None:
        """Replaces each delivery by its copy; what can't be published is buried instead of being in the way of all."""
        good: list[tuple[Delivery, Outgoing]] = []
        bad: set[Delivery] = set()
        for it, copy in copies:
            why = self.settling.routing.unsayable(copy)
            if why is None:
                good.append((it, copy))
            else:
                it.readable = False
                broken = Invalid(it.envelope, it.envelope.payload.encode(), f"can't be published again: {why}")
                self._broken.append((it, broken))
                bad.add(it)
        self._forget(bad)
        if good:
            await self.settling.replace([it for it, _ in good], [copy for _, copy in good])


def _letter(it: Delivery, refused: Invalid | DeadJob, now: int) -> Plan:
    if isinstance(refused, DeadJob):
        return buried(it, refused)
    return invalid(it, refused.body, f"the payload {refused.why}", now)


def _remaining(job: Envelope, now: float) -> float:
    return (job.due or 0) / 1000 - now
