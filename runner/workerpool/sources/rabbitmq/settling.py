"""Carries outcomes out, in the order that loses nothing: publish, confirm, record, free the key, acknowledge."""

from collections.abc import Sequence
from dataclasses import dataclass

from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.outcomes import Plan
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.streamlog import StreamLog


@dataclass(frozen=True, slots=True)
class Settling:
    """Settles deliveries. How far a broken off settlement got is noted in them."""

    routing: Routing
    history: StreamLog
    keys: Keys
    holding: Holding

    async def carry_out(self, plans: Sequence[Plan]) -> None:
        """All of it, or SourceError; repeating it then publishes and records nothing twice that was confirmed."""
        for plan in plans:
            plan.delivery.settling = True
        try:
            await self._publish([plan for plan in plans if plan.outgoing and not plan.delivery.routed])
            await self._record([plan for plan in plans if plan.record is not None and not plan.delivery.recorded])
            await self._free(plans)
            await self.holding.ack([plan.delivery for plan in plans])
        finally:
            for plan in plans:
                plan.delivery.settling = False

    async def replace(self, deliveries: Sequence[Delivery], copies: Sequence[Outgoing]) -> None:
        """Publishes the copies, and then takes the deliveries off their queue. Raises SourceError."""
        await self.routing.send(copies)
        await self.holding.ack(deliveries)

    async def _publish(self, plans: Sequence[Plan]) -> None:
        if plans:
            await self.routing.send([message for plan in plans for message in plan.outgoing])
            for plan in plans:
                plan.delivery.routed = True

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
