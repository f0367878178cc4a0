"""What one epoch of the consume channel holds: the lease of every job in one place."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.channel import Channel

from workerpool.errors import SourceUnavailable
from workerpool.sources.base import Job
from workerpool.sources.rabbitmq.acks import Acks, ack_frames
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.link import Link

REMEMBERED: Final = 4096
"""Acknowledged messages that are known again when the broker did not get the acknowledgement."""


@dataclass(slots=True)
class Holding:
    """Deliveries of the current epoch that are not settled. A loss of the channel empties it.

    ``crowded``: lanes of which something was set aside, so that their consumers have less room than they need.
    """

    link: Link
    jobs: dict[int, Delivery] = field(default_factory=dict)
    unsettled: Counter[str] = field(default_factory=Counter)
    crowded: set[str] = field(default_factory=set)
    _aside: dict[int, Delivery] = field(default_factory=dict)
    _acks: Acks = field(default_factory=Acks)
    _recent: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    def has(self, it: Delivery) -> bool:
        """Whether the job that was handed out is still this process's own."""
        return it.epoch == self.link.epoch and self.jobs.get(it.tag) is it

    def is_current(self, it: Delivery) -> bool:
        """Whether the delivery, handed out or not, can still be acknowledged."""
        return it.epoch == self.link.epoch

    def arrived(self, queue: str) -> None:
        """A delivery came for one of the lanes of ``queue``."""
        self.unsettled[queue] += 1

    def handed_out(self, it: Delivery) -> None:
        """The delivery became a job that somebody works on."""
        self.jobs[it.tag] = it

    def is_free(self, it: Delivery) -> bool:
        """Whether nobody settles the delivery at the moment, or did, so that it may be settled in another way."""
        return self.is_current(it) and not it.settling and not it.over

    def was_settled(self, it: Delivery) -> bool:
        """Whether this process settled the message not long ago; the broker did not get the acknowledgement then.

        The copies that several queues get of a message to a topic have one message id.
        """
        return it.message_id is not None and (it.lane, it.message_id) in self._recent

    def left_before(self, moment: float) -> list[Delivery]:
        """Jobs that were given up without an outcome until ``moment`` (steady seconds), and still are held."""
        held = self.jobs.values()
        return [it for it in held if it.left is not None and it.left <= moment and not it.settling]

    async def ack(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledges what is finished: the contiguous part in one go. What belongs to an older epoch is only noted.

        Nothing is acknowledged twice, which would cost the channel. Nothing is raised for a channel that ends
        meanwhile: the broker delivers again then, and ``was_settled`` tells.
        """
        for it in deliveries:
            if it.over:
                continue
            it.over = True
            if it.message_id is not None:
                self._remember((it.lane, it.message_id))
            if it.epoch == self.link.epoch:
                self._forget(it)
                self._acks.done(it.tag)
        try:
            channel = self.link.consume_channel()
        except SourceUnavailable:
            return
        acks = self._acks.take()
        if acks:
            assert isinstance(channel, Channel)
            frames = ack_frames(channel.number, acks)
            await channel.write_queue.put(ChannelFrame(payload=frames, should_close=False))

    async def requeue(self, deliveries: Iterable[Delivery]) -> None:
        """Gives deliveries back to their queues, those that are settled left out.

        Raises SourceUnavailable, and what aiormq raises for a closed channel.
        """
        for it in deliveries:
            if self.is_free(it):
                channel = self.link.consume_channel()
                await self._nack(channel, it)

    def set_aside(self, it: Delivery) -> None:
        """Keeps a delivery that nothing can be done for, in nobody's way: neither a job any more, nor acknowledged."""
        it.over, it.readable = True, False
        # There may be many of them, and each is large.
        it.envelope = it.envelope._replace(payload="", headers=None)
        if self.is_current(it):
            self._forget(it)
            self._aside[it.tag] = it
            self.crowded.add(it.lane)

    def taken_up(self, moment: float) -> list[Delivery]:
        """Takes out what was set aside and arrived until ``moment`` (steady seconds), to be given back."""
        found = [it for it in self._aside.values() if it.since <= moment]
        for it in found:
            del self._aside[it.tag]
            it.over = False
            self.unsettled[it.envelope.queue] += 1
        return found

    def lost(self) -> list[Job]:
        """The channel is gone and with it everything; returns the jobs that were handed out."""
        jobs = [it.job for it in self.jobs.values()]
        self.jobs = {}
        self.unsettled = Counter()
        self._acks = Acks()
        self._aside.clear()
        self.crowded.clear()
        return jobs

    def _remember(self, message: tuple[str, str]) -> None:
        self._recent[message] = None
        self._recent.move_to_end(message)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    async def _nack(self, channel: AbstractChannel, it: Delivery) -> None:
        it.over = True
        self._forget(it)
        await channel.basic_nack(it.tag, requeue=True, wait=False)
        # Not before it is on its way: an acknowledgement of several would take it in.
        self._acks.gone(it.tag)

    def _forget(self, it: Delivery) -> None:
        self.jobs.pop(it.tag, None)
        self.unsettled[it.envelope.queue] -= 1
