"""Taking a job away from its holder, because somebody cancelled it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workerpool.sources.base import Job
from workerpool.sources.rabbitmq.history import finished_record
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.intake import Intake
from workerpool.sources.rabbitmq.outcomes import NOTHING, Plan
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.settling import Settling


@dataclass(frozen=True, slots=True)
class Cancelling:
    """Cancels jobs that this process has, handed out or not. ``wall``: unix seconds."""

    boot: str
    holding: Holding
    settling: Settling
    intake: Intake
    sender: Sender
    wall: Callable[[], float]

    async def cancel(self, ids: frozenset[int]) -> tuple[list[int], list[Job]]:
        """Cancels the jobs of these ids; returns those that were here, and the jobs among them that are worked on.

        A job whose outcome is being settled at this moment is left alone. Raises SourceError.
        """
        jobs = [it for it in self.holding.jobs.values() if it.envelope.id in ids and self.holding.is_free(it)]
        worked_on = [it for it in jobs if not (it.routed or it.recorded)]
        withdrawn = self.intake.withdraw(ids)
        now = round(self.wall() * 1000)
        plans = [
            Plan(it, NOTHING, finished_record(it.charged(), "cancelled", now, worker=""))
            for it in (*worked_on, *withdrawn.deliveries)
        ]
        if plans:
            try:
                await self.settling.carry_out(plans)
            except BaseException:
                # Nobody was told that they are cancelled, so they go on as if nothing had been tried.
                for plan in plans:
                    plan.delivery.recorded = False
                self.intake.restore(withdrawn)
                raise
        return [plan.delivery.envelope.id for plan in plans], [it.job for it in worked_on]

    async def answer(self, reply_to: str, correlation_id: str | None, ids: Sequence[int]) -> None:
        """Tells who asked which of the jobs were here. Raises SourceError."""
        body = json.dumps({"boot": self.boot, "ids": list(ids), "correlation": correlation_id}).encode()
        await self.sender.send([Outgoing("", reply_to, body, {}, mandatory=False, persistent=False)])
