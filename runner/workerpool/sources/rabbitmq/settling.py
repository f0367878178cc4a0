"""Carries outcomes out, in the order that loses nothing: publish, confirm, record, free the key, acknowledge."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from workerpool.errors import ConfigError, PayloadError, SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.outcomes import Plan
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing
from workerpool.sources.rabbitmq.rejecting import is_kept
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.streamlog import StreamLog

log = logging.getLogger("workerpool.rabbitmq")


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
                    await self._leave([plan for plan in left if plan.letter and not plan.delivery.over])
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
            # Nothing was sent: the others go without what the broker will never take.
            await self._send([plan for plan in plans if self._impossible(plan) is None])
            return error

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

    async def _leave(self, letters: Sequence[Plan]) -> None:
        """Dead letters that the broker will never take: it has the jobs themselves, and makes dead letters of those."""
        for plan in letters:
            it, record = plan.delivery, plan.record
            why = self._impossible(plan)
            if record is None or why is None or not await is_kept(self.holding.link, it.envelope.queue, it.lane):
                continue
            log.error("Dead letter, as the job came: job %d of %s: %s", record["id"], record["queue"], why)
            if not it.recorded:
                said = f"{record.get('error')}; the dead letter is the job as it came, without this text: {why}"
                await self._record([plan._replace(record=record | {"error": said})])
            await self._free([plan])
            await self.holding.reject(it)

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
