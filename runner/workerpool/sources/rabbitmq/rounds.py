"""The two queues of jobs without a lane, which send each other what they give up, so that looking loses none.

A policy can limit the deliveries of any queue. What reaches the limit of the one goes to the other, and from there back
by being rejected, with a fresh count: a message that is moved on twice for its deliveries alone, the broker drops.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiormq.exceptions import AMQPChannelError

from workerpool.sources.rabbitmq.browsing import Browser, browsing, depth
from workerpool.sources.rabbitmq.link import Link
from workerpool_contract.rabbitmq import UNROUTED, UNROUTED_AGAIN, unrouted_arguments

OTHER: Final = {UNROUTED: UNROUTED_AGAIN, UNROUTED_AGAIN: UNROUTED}
LIMIT: Final = "x-delivery-limit"


async def holds(link: Link) -> int:
    """How many jobs are in both queues. Raises SourceUnavailable, SourceError."""
    found = [await depth(link, name) for name in OTHER]
    return sum(it.messages for it in found if it is not None)


async def sends_on(link: Link, name: str) -> bool:
    """Whether ``name`` has jobs, and surely sends those that are rejected to the other queue.

    A user who may not declare it can't know, and is told no. Raises SourceUnavailable, SourceError.
    """
    found = await depth(link, name)
    if found is None or not found.messages:
        return False
    wanted = unrouted_arguments(link.version, OTHER[name])
    # An older release of the broker, that was upgraded since, declared it without a limit.
    for arguments in (wanted, {key: value for key, value in wanted.items() if key != LIMIT}):
        try:
            async with link.scratch() as channel:
                await channel.queue_declare(name, durable=True, arguments=arguments)
        except AMQPChannelError:
            continue
        return True
    return False


@asynccontextmanager
async def looking(link: Link, name: str) -> AsyncIterator[Browser]:
    """Looks into a queue of waiting jobs. Raises SourceUnavailable, SourceError.

    What the broker gave up goes back to where it was looked for first; where that isn't sure, nothing is taken.
    """
    if name != UNROUTED_AGAIN:
        async with browsing(link, "", name) as browser:
            yield browser
    elif await sends_on(link, name):
        async with browsing(link, "", name, requeue=False) as browser:
            yield browser
    else:
        async with link.scratch() as channel:
            yield Browser(channel, "", name, 0)
