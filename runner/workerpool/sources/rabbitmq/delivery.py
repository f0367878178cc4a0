"""A message between its arrival and its acknowledgement."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from workerpool.sources.base import Job
from workerpool.sources.rabbitmq.envelope import Envelope
from workerpool.sources.rabbitmq.outgoing import Outgoing


@dataclass(slots=True, eq=False)
class Delivery:
    """One delivery of one message; the ``handle`` of the job that is made of it.

    ``epoch`` and ``tag`` are its lease: a delivery of an older epoch belongs to the broker again. ``number``: how often
    the message was delivered before. ``message_id``: of a message that this project published, else None. ``crashes``:
    those charged so far. ``since``: when it arrived (steady seconds). ``routed``, ``recorded``: how far an outcome got
    whose settlement was broken off; ``sent``: what was confirmed of its messages while others were not.
    ``settling``: its outcome is being carried out; ``over``: it was, or the delivery was given back. ``readable``: the
    envelope has all of the message, which may be published again. ``left``: when its handler gave it up without an
    outcome (steady seconds).
    """

    epoch: int
    tag: int
    lane: str
    envelope: Envelope
    message_id: str | None
    number: int
    since: float
    crashes: int
    settling: bool = False
    routed: bool = False
    recorded: bool = False
    sent: Sequence[Outgoing] = ()
    over: bool = False
    readable: bool = True
    left: float | None = None
    job: Job = field(init=False)

    def claimed(self, now: float) -> Job:
        """The job, handed out at ``now`` (unix seconds)."""
        job = self.envelope
        moment = now * 1000
        self.job = made = Job(
            job.queue,
            job.id,
            job.attempts,
            self.crashes,
            job.priority,
            job.payload,
            job.headers,
            max(0.0, (moment - job.enqueued) / 1000),
            job.expires is not None and job.expires <= moment,
            self,
        )
        return made

    def charged(self) -> Envelope:
        """The job as it is published again: with the crashes that it was charged."""
        return self.envelope if self.crashes == self.envelope.crashes else self.envelope._replace(crashes=self.crashes)
