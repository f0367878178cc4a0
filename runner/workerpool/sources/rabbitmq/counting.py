"""What queues hold, by the broker's own and immediate count."""

from collections.abc import Sequence
from typing import NamedTuple

from aiormq.exceptions import ChannelNotFoundEntity

from workerpool.sources.rabbitmq.link import Link
from workerpool_contract.rabbitmq import WAITING, dead, lanes


class Count(NamedTuple):
    """Jobs that are ready, dead letters, and jobs that wait for their time; None when nobody knows."""

    ready: int
    dead: int
    delayed: int | None


async def count_queues(link: Link, queues: Sequence[str]) -> dict[str, Count]:
    """One reading per queue; what isn't there holds nothing. Raises SourceUnavailable.

    Jobs of all queues of a virtual host wait in the same places: while these hold anything, nobody knows whose it is.
    """
    waiting = sum([await _count(link, name) for name in WAITING])
    return {
        queue: Count(
            ready=sum([await _count(link, lane) for lane in lanes(queue)]),
            dead=await _count(link, dead(queue)),
            delayed=None if waiting else 0,
        )
        for queue in queues
    }


async def _count(link: Link, name: str) -> int:
    try:
        async with link.scratch() as channel:
            return (await channel.queue_declare(name, passive=True)).message_count or 0
    except ChannelNotFoundEntity:
        return 0
