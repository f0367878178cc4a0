"""Publishing to queues and topics that may not exist yet."""

from collections.abc import Awaitable, Callable, Sequence

from workerpool.sources.rabbitmq.declare import ensure_queue, ensure_shared
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing, Unroutable
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import DEAD_SUFFIX, HIGH_SUFFIX, LOW_SUFFIX, TOPICS


async def send_routed(
    link: Link, sender: Sender, messages: Sequence[Outgoing], note: Callable[[str], Awaitable[None]]
) -> None:
    """Publishes; what the broker returns gets its queue declared, which ``note`` is told, and is sent again.

    A message to a topic without a subscriber goes to the queue of that name. Raises SourceError (a return once more),
    SourceUnavailable.
    """
    try:
        await sender.send(messages)
    except Unroutable as error:
        returned = error.messages
        await ensure_shared(link)
        for queue in dict.fromkeys(_work_queue(it) for it in returned):
            await ensure_queue(link, queue, link.endpoint.delivery_limit)
            await note(queue)
        await sender.send([_direct(it) for it in returned])


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
    if not message.exchange.startswith(TOPICS):
        return message
    suffix = message.exchange.removeprefix(TOPICS)
    return Outgoing("", f"{message.routing_key}{suffix}", message.body, message.headers)
