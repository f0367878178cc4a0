"""Giving back what was delivered and never claimed, so that nobody is charged for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.marks import Marks, Numbered
from workerpool.sources.rabbitmq.outcomes import Plan, given_back, handed_back
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.settling import Settling

FREE_RETURNS: Final = (4, 3, 0)
"""From this version on the broker doesn't count a return (basic.nack) as a delivery in vain."""


@dataclass(frozen=True, slots=True)
class Returning:
    """``rehome_at``: deliveries after which a message is copied instead, since a return may count as one.

    ``wall``: unix seconds.
    """

    holding: Holding
    settling: Settling
    marks: Marks
    rehome_at: int
    wall: Callable[[], float]

    async def hand_over(self, deliveries: Sequence[Delivery]) -> None:
        """Jobs that somebody worked on come next, at no charge, for whoever is free. Raises SourceError."""
        if deliveries:
            await self.settling.carry_out([Plan(it, (handed_back(it.charged()),), None) for it in deliveries])

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Puts them back to their place in their queues, or to the head as a copy. Raises SourceError.

        What was settled before is acknowledged. What can't be published again keeps its place, whatever it is charged.
        """
        free = [it for it in deliveries if self.holding.is_free(it)]
        counted, now = self.holding.link.version < FREE_RETURNS, self.wall()
        returned: list[Delivery] = []
        copied: list[Delivery] = []
        copies: list[Outgoing] = []
        for it in free:
            if self.holding.was_settled(it):
                continue
            known = it.message_id is not None and (not counted or it.number + 1 < self.rehome_at)
            copy = None if known or not it.readable else given_back(it.charged(), now)
            if copy is None or self.settling.routing.unsayable(copy) is not None:
                returned.append(it)
            else:
                copied.append(it)
                copies.append(copy)
        if copied:
            await self.settling.replace(copied, copies)
        await self.holding.ack(it for it in free if self.holding.was_settled(it))
        if counted:
            await self.marks.forgive(Numbered(it.lane, it.message_id, it.number) for it in returned if it.message_id)
        await self.holding.requeue(sorted(returned, key=lambda it: it.tag))
