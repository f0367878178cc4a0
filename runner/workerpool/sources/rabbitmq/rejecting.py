"""Whether a message that is rejected is kept: the broker drops it from a queue that has nowhere to send it."""

from typing import Final

from aiormq.exceptions import AMQPChannelError, ChannelPreconditionFailed

from workerpool.sources.rabbitmq.declare import parse
from workerpool.sources.rabbitmq.faults import reason
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.topology import Queue
from workerpool_contract.rabbitmq import work_arguments

DEAD_LETTERING: Final = "x-dead-letter-"


async def is_kept(link: Link, queue: str, lane: str) -> bool:
    """Whether ``lane`` sends what is rejected to the dead letters of ``queue``, surely.

    A broker tells the arguments of a queue only by refusing to declare it with others, one at a time: those that have
    nothing to do with dead letters may differ. Raises SourceUnavailable, SourceError.
    """
    arguments = work_arguments(queue, link.endpoint.delivery_limit)
    for _ in range(len(arguments)):
        try:
            async with link.scratch() as channel:
                await channel.queue_declare(lane, durable=True, arguments=arguments)
        except ChannelPreconditionFailed as error:
            found = parse(Queue(lane, arguments), reason(error))
            if found is None or found.argument not in arguments or found.argument.startswith(DEAD_LETTERING):
                return False
            del arguments[found.argument]
            if found.has is not None:
                arguments[found.argument] = int(found.has) if found.has.isdecimal() else found.has
        except AMQPChannelError:
            return False
        else:
            return True
    return False
