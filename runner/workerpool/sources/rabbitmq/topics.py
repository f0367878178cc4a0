"""Publishing to topics: to every queue that is subscribed or, when none is, to the queue of that name.

A message to a topic is routed by the broker's bindings, so a subscription counts from the moment it is there. Without
one the message comes back and is sent to the queue of the topic's name. One message of a call is enough to find out:
what comes back came back after the call began, so the rest of the call may go the short way.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from aiormq.exceptions import ChannelNotFoundEntity

from workerpool.sources.rabbitmq.declare import ensure_queue
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing, Refused, Unroutable
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import lane, lanes, topic_exchange


class ToTopic(NamedTuple):
    """A message to a topic: JSON text as ``body``, and the headers that make it a job."""

    topic: str
    priority: int
    body: bytes
    headers: dict[str, Any]

    @property
    def by_topic(self) -> Outgoing:
        """To all subscribed queues."""
        return Outgoing(topic_exchange(self.priority), self.topic, self.body, self.headers)

    @property
    def by_name(self) -> Outgoing:
        """To the queue of the topic's name."""
        return Outgoing("", lane(self.topic, self.priority), self.body, self.headers)


class Topics:
    """Publishes to topics. ``note`` is told the name of each queue of jobs that had to be declared."""

    def __init__(self, link: Link, sender: Sender, note: Callable[[str], Awaitable[None]]) -> None:
        """Nothing is known of any topic yet."""
        self._link = link
        self._sender = sender
        self._note = note
        self._subscribed: dict[str, bool] = {}
        self._declared: set[str] = set()

    async def send(self, topic: str, messages: Sequence[ToTopic]) -> None:
        """Publishes to one topic, in order; durable when it returns.

        Raises Refused, Unroutable, SourceUnavailable; some of the messages may be on the broker then.
        """
        first = messages if self._subscribed.get(topic) else messages[:1]
        returned = await self._try(topic, first)
        rest = messages[len(first) :]
        if not returned:
            returned = await self._try(topic, rest)
            rest = ()
        if returned or rest:
            await self.deliver(topic, [it.by_name for it in (*returned, *rest)])

    async def deliver(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Publishes to the lanes of a queue, which are declared when they are missing. Raises as ``send``."""
        await self.ready(queue)
        try:
            await self._sender.send(messages)
        except Unroutable as error:
            # Deleted since it was declared.
            self._declared.discard(queue)
            await self.ready(queue)
            await self._sender.send(error.messages)

    async def ready(self, queue: str) -> None:
        """Sees to it that the lanes of a queue are there."""
        if queue in self._declared:
            return
        if await self._is_missing(queue):
            await ensure_queue(self._link, queue, self._link.endpoint.delivery_limit)
            await self._note(queue)
        self._declared.add(queue)

    async def _try(self, topic: str, messages: Sequence[ToTopic]) -> list[ToTopic]:
        """Publishes to the subscribers; returns what came back because there are none."""
        if not messages:
            return []
        outgoing = [it.by_topic for it in messages]
        fates = await self._sender.outcomes(outgoing)
        refused = [it for it, fate in zip(outgoing, fates, strict=True) if fate is Fate.REFUSED]
        if refused:
            raise Refused(self._link.endpoint.shown, refused)
        returned = [it for it, fate in zip(messages, fates, strict=True) if fate is Fate.RETURNED]
        self._subscribed[topic] = not returned
        return returned

    async def _is_missing(self, queue: str) -> bool:
        try:
            async with self._link.scratch() as channel:
                for name in lanes(queue):
                    await channel.queue_declare(name, passive=True)
        except ChannelNotFoundEntity:
            return True
        return False
