"""Carries outcomes out, in the order that loses nothing: publish, confirm, record, free the key, acknowledge."""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from workerpool.errors import ConfigError, PayloadError, SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.deadletters import DeadJob
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.outcomes import Plan, ways
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.streamlog import StreamLog

log = logging.getLogger("workerpool.rabbitmq")

REMEMBERED: Final = 1024
"""Messages whose dead letter is known when they come again; without their payloads."""


class Unfinished(SourceUnavailable):
    """The broker did not take some of the messages, because of ``cause``; what belongs to the others is done."""

    def __init__(self, cause: SourceError | ConfigError) -> None:
        """Says what the cause says."""
        self.cause = cause
        super().__init__(str(cause))


@dataclass(frozen=True, slots=True)
class Settling:
    """Settles deliveries. How far a broken off settlement got is noted in them.

    A message whose dead letter is too large for the broker is dead as it came, which the broker took once. Where it
    takes not even that any more, the delivery is set aside until it does.
    """

    routing: Routing
    history: StreamLog
    keys: Keys
    holding: Holding
    _waiting: OrderedDict[tuple[str, str], DeadJob] = field(default_factory=OrderedDict)

    async def carry_out(self, plans: Sequence[Plan]) -> None:
        """Carries out what the broker takes; ``delivery.over`` tells which.

        Repeating it publishes nothing twice that was confirmed. Raises Unfinished for what the broker did not take
        (because of a PayloadError when it never will), SourceUnavailable when nothing is known of any.
        """
        left = [plan for plan in plans if not plan.delivery.over]
        for plan in left:
            plan.delivery.settling = True
        try:
            with _later(self.holding.link.endpoint):
                failure = await self._publish([plan for plan in left if plan.outgoing and not plan.delivery.routed])
                done = [plan for plan in left if plan.delivery.routed or not plan.outgoing]
                await self._record([plan for plan in done if plan.record is not None and not plan.delivery.recorded])
                await self._free(done)
                await self.holding.ack([plan.delivery for plan in done])
                if isinstance(failure, PayloadError):
                    self._set_aside([plan for plan in left if not plan.delivery.over])
        finally:
            for plan in left:
                plan.delivery.settling = False
        if failure is not None and not all(plan.delivery.over for plan in left):
            raise Unfinished(failure)

    async def replace(self, deliveries: Sequence[Delivery], copies: Sequence[Outgoing]) -> None:
        """Publishes the copy of each, and takes those whose copy is there off their queue. Raises as ``carry_out``."""
        pairs = [(it, copy) for it, copy in zip(deliveries, copies, strict=True) if not it.over]
        if not pairs:
            return
        for it, _ in pairs:
            it.settling = True
        try:
            with _later(self.holding.link.endpoint):
                try:
                    fates, failure = await self.routing.outcomes([copy for _, copy in pairs])
                except PayloadError as error:
                    raise Unfinished(error) from None
                there = [it for (it, _), fate in zip(pairs, fates, strict=True) if fate is Fate.CONFIRMED]
                await self.holding.ack(there)
        finally:
            for it, _ in pairs:
                it.settling = False
        if failure is not None:
            raise Unfinished(failure)

    async def _publish(self, plans: Sequence[Plan]) -> SourceError | ConfigError | None:
        """Publishes what was not confirmed yet, notes what is now, and returns the error of what is not."""
        try:
            return await self._send(plans)
        except PayloadError as error:
            never = error
        # Nothing was sent: the others go without what the broker will never take.
        found = [(plan, self._way(plan)) for plan in plans]
        failure = await self._send([way for _, way in found if way is not None])
        for plan, way in found:
            if way is not plan and plan.delivery.routed:
                job = plan.delivery.envelope
                log.error("Dead letter, as it came: job %d of %s: %s", job.id, job.queue, self._impossible(plan))
        return never if any(way is None for _, way in found) else failure

    async def _send(self, plans: Sequence[Plan]) -> SourceError | ConfigError | None:
        if not plans:
            return None
        wanted = [_unsent(plan) for plan in plans]
        fates, failure = await self.routing.outcomes([message for messages in wanted for message in messages])
        answers = iter(fates)
        for plan, messages in zip(plans, wanted, strict=True):
            taken = [message for message in messages if next(answers) is Fate.CONFIRMED]
            plan.delivery.routed = len(taken) == len(messages)
            plan.delivery.sent = () if plan.delivery.routed else (*plan.delivery.sent, *taken)
        return failure

    def _impossible(self, plan: Plan) -> str | None:
        """Why the broker will never take the messages of a plan, None when nothing is known against them."""
        reasons = (self.routing.unsayable(message) for message in plan.outgoing)
        return next((why for why in reasons if why is not None), None)

    def condemned(self, it: Delivery) -> DeadJob | None:
        """The dead letter of a message that was set aside and came again."""
        letter = self._waiting.get((it.lane, it.message_id)) if it.message_id is not None else None
        return letter and letter._replace(envelope=it.charged())

    def _way(self, plan: Plan) -> Plan | None:
        """A plan as the broker takes it, None when it never will."""
        return next((it for it in ways(plan) if self._impossible(it) is None), None)

    def _set_aside(self, plans: Sequence[Plan]) -> None:
        """Messages that can be no dead letter in any way. They are seen to again when they come again."""
        for plan in plans:
            it, letter = plan.delivery, plan.letter
            if letter is None or self._way(plan) is not None:
                continue
            message = (it.lane, it.message_id or "")
            if message not in self._waiting:
                log.error(
                    "Set aside until the broker takes it as a dead letter (%s): job %d of %s: %s",
                    letter.reason,
                    letter.envelope.id,
                    it.lane,
                    self._impossible([*ways(plan)][-1]),
                )
            if it.message_id is not None:
                self._waiting[message] = letter._replace(
                    envelope=letter.envelope._replace(payload="", headers=None), raw=None
                )
                if len(self._waiting) > REMEMBERED:
                    self._waiting.popitem(last=False)
            self.holding.set_aside(it)

    async def _record(self, plans: Sequence[Plan]) -> None:
        if plans:
            await self.history.append([plan.record for plan in plans if plan.record is not None])
            for plan in plans:
                plan.delivery.recorded = True

    async def _free(self, plans: Sequence[Plan]) -> None:
        keys = [
            (job.queue, job.key, job.id)
            for plan in plans
            if plan.record is not None and (job := plan.delivery.envelope).key is not None
        ]
        if keys:
            await self.keys.release(keys)


def _unsent(plan: Plan) -> list[Outgoing]:
    """The messages of a plan without those that were confirmed at an earlier try, whose ids were other ones."""
    sent = [_content(it) for it in plan.delivery.sent]
    unsent: list[Outgoing] = []
    for it in plan.outgoing:
        if (content := _content(it)) in sent:
            sent.remove(content)
        else:
            unsent.append(it)
    return unsent


def _content(it: Outgoing) -> tuple[str, str, bytes]:
    return it.exchange, it.routing_key, it.body


@contextmanager
def _later(endpoint: Endpoint) -> Iterator[None]:
    """Whatever a broker refuses here, it may take later: no finished job is at fault for it."""
    try:
        with translated(endpoint):
            yield
    except SourceUnavailable:
        raise
    except SourceError as error:
        raise SourceUnavailable(str(error)) from None
