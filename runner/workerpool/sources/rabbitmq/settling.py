"""Carries outcomes out, in the order that loses nothing: publish, confirm, record, free the key, acknowledge."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from workerpool.errors import ConfigError, SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.outcomes import Plan
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.streamlog import StreamLog


class Unfinished(SourceUnavailable):
    """The broker did not take some of the messages, because of ``cause``; what belongs to the others is done."""

    def __init__(self, cause: SourceError | ConfigError) -> None:
        """Says what the cause says."""
        self.cause = cause
        super().__init__(str(cause))


@dataclass(frozen=True, slots=True)
class Settling:
    """Settles deliveries. How far a broken off settlement got is noted in them."""

    routing: Routing
    history: StreamLog
    keys: Keys
    holding: Holding

    async def carry_out(self, plans: Sequence[Plan]) -> None:
        """Carries out what the broker takes; ``delivery.over`` tells which.

        Repeating it publishes nothing twice that was confirmed. Raises Unfinished for what the broker did not take,
        SourceUnavailable when nothing is known of any, and PayloadError before anything is sent.
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
        finally:
            for plan in left:
                plan.delivery.settling = False
        if failure is not None:
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
                fates, failure = await self.routing.outcomes([copy for _, copy in pairs])
                there = [it for (it, _), fate in zip(pairs, fates, strict=True) if fate is Fate.CONFIRMED]
                await self.holding.ack(there)
        finally:
            for it, _ in pairs:
                it.settling = False
        if failure is not None:
            raise Unfinished(failure)

    async def _publish(self, plans: Sequence[Plan]) -> SourceError | ConfigError | None:
        """Publishes what was not confirmed yet, notes what is now, and returns the error of what is not."""
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
