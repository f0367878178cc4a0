"""Publishing to queues and topics that may not exist yet; what comes back gets its queue, and is sent there.

A message to a topic is routed by the broker's bindings, so a subscription counts from the moment it is there. Without
one the message comes back and is sent to the queue of the topic's name. One message of a call is enough to find out:
what comes back came back after the call began, so the rest of the call may go the short way.
"""

from collections.abc import Awaitable, Callable, Sequence

from aiormq.exceptions import ChannelNotFoundEntity

from workerpool.errors import ConfigError, PayloadError, SourceError
from workerpool.sources.rabbitmq.declare import ensure_queue, ensure_shared
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing, Refused, Unroutable
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import DEAD_SUFFIX, HIGH_SUFFIX, LOW_SUFFIX, TOPICS, lanes


class Routing:
    """Publishes over ``sender``. ``note`` is told the name of each queue of jobs that had to be declared.

    Raises Refused, SourceUnavailable, and SourceError for what comes back once more; some of the messages may be on the
    broker then.
    """

    def __init__(self, link: Link, sender: Sender, note: Callable[[str], Awaitable[None]]) -> None:
        """Nothing is known of any topic or queue yet."""
        self._link = link
        self._sender = sender
        self._note = note
        self._subscribed: dict[str, bool] = {}
        self._declared: set[str] = set()

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Publishes to queues and topics of any kind; durable when it returns."""
        try:
            await self._sender.send(messages)
        except Unroutable as error:
            await self._send_again(error.messages)

    async def outcomes(self, messages: Sequence[Outgoing]) -> tuple[list[Fate], SourceError | ConfigError | None]:
        """As ``send``, but tells what became of each message, and the error of those that were not taken.

        Raises what ``Sender.outcomes`` raises: nothing is known of any message then. PayloadError is the error of a
        queue name that the broker can't have.
        """
        fates = await self._sender.outcomes(messages)
        back = [index for index, fate in enumerate(fates) if fate is Fate.RETURNED]
        if back:
            try:
                with translated(self._link.endpoint):
                    again = await self._ready_for([messages[index] for index in back])
                    second = await self._sender.outcomes(again)
            except PayloadError as error:
                return fates, error
            except ConfigError as error:
                return fates, PayloadError(str(error))
            except SourceError as error:
                return fates, error
            for index, fate in zip(back, second, strict=True):
                fates[index] = fate
        return fates, self._sender.failure(messages, fates)

    def unsayable(self, message: Outgoing) -> str | None:
        """Why the broker will never take ``message``, None when nothing is known against it.

        Raises SourceUnavailable.
        """
        return self._sender.unsayable(message)

    async def send_to_topic(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """As ``send``, for many messages to the exchanges of one topic, in order."""
        first = messages if self._subscribed.get(topic) else messages[:1]
        rest = messages[len(first) :]
        returned = await self._try(topic, first)
        if not returned:
            returned, rest = await self._try(topic, rest), ()
        if returned or rest:
            await self.ready(topic)
            await self.send([_direct(it) for it in (*returned, *rest)])

    async def ready(self, queue: str) -> None:
        """Sees to it that the lanes of a queue are there: a message that waits elsewhere goes there by itself."""
        if queue in self._declared:
            return
        if await self._is_missing(queue):
            await self._declare(queue)
        self._declared.add(queue)

    async def _try(self, topic: str, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Publishes to the subscribers; returns what came back because there are none."""
        if not messages:
            return []
        fates = await self._sender.outcomes(messages)
        refused = [it for it, fate in zip(messages, fates, strict=True) if fate is Fate.REFUSED]
        if refused:
            raise Refused(self._link.endpoint.shown, refused)
        returned = [it for it, fate in zip(messages, fates, strict=True) if fate is Fate.RETURNED]
        self._subscribed[topic] = not returned
        return returned

    async def _send_again(self, returned: Sequence[Outgoing]) -> None:
        """What came back, to queues that are there now."""
        await self._sender.send(await self._ready_for(returned))

    async def _ready_for(self, returned: Sequence[Outgoing]) -> list[Outgoing]:
        """Declares the queues of what came back; returns it addressed to them."""
        await ensure_shared(self._link)
        for queue in dict.fromkeys(_work_queue(it) for it in returned):
            self._declared.discard(queue)
            await self._declare(queue)
        return [_direct(it) for it in returned]

    async def _declare(self, queue: str) -> None:
        await ensure_queue(self._link, queue, self._link.endpoint.delivery_limit)
        await self._note(queue)

    async def _is_missing(self, queue: str) -> bool:
        try:
            async with self._link.scratch() as channel:
                for name in lanes(queue):
                    await channel.queue_declare(name, passive=True)
        except ChannelNotFoundEntity:
            return True
        return False


def _work_queue(message: Outgoing) -> str:
    """The queue whose lanes, or dead letters, a message that came back was meant for."""
    key = message.routing_key
    if message.exchange.startswith(TOPICS):
        return key
    for suffix in (HIGH_SUFFIX, LOW_SUFFIX, DEAD_SUFFIX):
        if key.endswith(suffix):
            return key.removesuffix(suffix)
    return key


def _direct(message: Outgoing) -> Outgoing:
    """A message to a topic as one to the queue of its name, on the same lane."""
    if not message.exchange.startswith(TOPICS):
        return message
    suffix = message.exchange.removeprefix(TOPICS)
    return Outgoing("", f"{message.routing_key}{suffix}", message.body, message.headers)
