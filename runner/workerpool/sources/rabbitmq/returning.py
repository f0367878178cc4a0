"""Giving back what was delivered and never claimed, so that nobody is charged for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.marks import Marks, Numbered
from workerpool.sources.rabbitmq.outcomes import Plan, handed_back
from workerpool.sources.rabbitmq.settling import Settling

FREE_RETURNS: Final = (4, 3, 0)
"""From this version on the broker doesn't count a return (basic.nack) as a delivery in vain."""


@dataclass(frozen=True, slots=True)
class Returning:
    """``rehome_at``: deliveries after which a message is copied instead, since a return may count as one."""

    holding: Holding
    settling: Settling
    marks: Marks
    rehome_at: int

    async def hand_over(self, deliveries: Sequence[Delivery]) -> None:
        """Jobs that somebody worked on come next, at no charge, for whoever is free. Raises SourceError."""
        if deliveries:
            await self.settling.carry_out([Plan(it, (handed_back(it.charged()),), None) for it in deliveries])

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Puts them back to their place in their queues, or to the head as a copy. Raises SourceError."""
        current = [it for it in deliveries if self.holding.is_current(it)]
        counted = self.holding.link.version < FREE_RETURNS
        returned: list[Delivery] = []
        copied: list[Delivery] = []
        for it in current:
            known = it.message_id is not None and (not counted or it.number + 1 < self.rehome_at)
            (returned if known else copied).append(it)
        if copied:
            await self.settling.replace(copied, [handed_back(it.charged()) for it in copied])
        if counted:
            await self.marks.forgive(Numbered(it.lane, it.message_id, it.number) for it in returned if it.message_id)
        await self.holding.requeue(sorted(returned, key=lambda it: it.tag))
