"""Who gets copies of which topic on a broker, and ending that."""

from workerpool.errors import ConfigError, SourceError
from workerpool.sources.administration import TopicQueue
from workerpool.sources.rabbitmq.admin_desk import Desk
from workerpool.sources.rabbitmq.browsing import depth
from workerpool.sources.rabbitmq.link import Link
from workerpool_contract.rabbitmq import lane_suffix, lanes, topic_exchange

PRIORITIES = (0, 1, -1)
"""One for each lane."""


async def subscriptions(desk: Desk) -> list[TopicQueue]:
    """All of them, by topic and queue. Their jobs are those that wait in the queue. Raises SourceError."""
    found = []
    for queue, topics in desk.registry.known().items():
        if topics:
            jobs, served = await standing(desk.link, queue)
            found += [TopicQueue(topic, queue, jobs, None, served) for topic in topics]
    return sorted(found, key=lambda it: (it.topic, it.queue))


async def standing(link: Link, queue: str) -> tuple[int, bool]:
    """Jobs that wait in the lanes of a queue, and whether anybody consumes it."""
    found = [it for name in lanes(queue) if (it := await depth(link, name)) is not None]
    return sum(it.messages for it in found), any(it.consumers for it in found)


async def unsubscribe(desk: Desk, topic: str, queue: str) -> TopicQueue:
    """Ends one subscription and returns it as it was; the jobs in the queue stay.

    Raises ConfigError for an unknown one, SourceError while somebody consumes the queue: it would miss messages.
    """
    known = desk.registry.queues_of(topic)
    if queue not in known:
        raise ConfigError(
            f"QUEUE: {queue!r} gets no copies of {topic!r}; subscribed queues: {', '.join(known) or 'none'}. "
            "See `workerpool topics list`"
        )
    jobs, served = await standing(desk.link, queue)
    if served:
        raise SourceError(f"{queue}: a runner consumes this queue; stop it first")
    async with desk.link.scratch() as channel:
        for priority in PRIORITIES:
            await channel.queue_unbind(f"{queue}{lane_suffix(priority)}", topic_exchange(priority), topic)
    await desk.registry.unsubscribe(topic, queue)
    return TopicQueue(topic, queue, jobs, None, served)
