"""What a source is made of, put together; every part knows the others that it needs and nothing of the source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workerpool.sources.base import Subscription
from workerpool.sources.rabbitmq.buffer import Buffer
from workerpool.sources.rabbitmq.cancelling import Cancelling
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.holding import Holding
from workerpool.sources.rabbitmq.ids import Ids
from workerpool.sources.rabbitmq.intake import Intake
from workerpool.sources.rabbitmq.keys import Keys
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.marks import Marks
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.returning import Returning
from workerpool.sources.rabbitmq.routing import Routing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.settling import Settling
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool.sources.rabbitmq.unrouted import Unrouted
from workerpool_contract.rabbitmq import HISTORY, MARKS


@dataclass(frozen=True, slots=True)
class Clocks:
    """``wall``: unix seconds, for what travels in messages. ``steady``: monotonic seconds."""

    wall: Callable[[], float]
    steady: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one source."""

    link: Link
    sender: Sender
    holding: Holding
    history: StreamLog
    marks: Marks
    registry: Registry
    settling: Settling
    intake: Intake
    returning: Returning
    cancelling: Cancelling
    buffers: Mapping[str, Buffer]
    fresh: Callable[[], int]
    unrouted: Unrouted


def rehome_at(delivery_limit: int) -> int:
    """The deliveries after which a message is copied.

    Half of the limit, and two at most: a queue that another program declared may have a lower one than we were told.
    """
    return max(1, min(delivery_limit // 2, 2))


def parts_of(
    endpoint: Endpoint,
    *,
    boot: str,
    name: str,
    subscriptions: Sequence[Subscription],
    clocks: Clocks,
    max_payload: int,
) -> Parts:
    """The parts of a source on these queues; nothing is connected yet."""
    link = Link(endpoint, name=f"workerpool {name}")
    sender = Sender(link)
    holding = Holding(link)
    history, marks = StreamLog(link, sender, HISTORY), Marks(StreamLog(link, sender, MARKS))
    registry = Registry(link, sender)
    settling = Settling(Routing(link, sender, registry.note), history, Keys(link), holding)
    buffers = {it.queue: Buffer(it.queue) for it in subscriptions}
    fresh, limit = Ids(clocks.wall).next, rehome_at(endpoint.delivery_limit)
    intake = Intake(
        holding, settling, marks, buffers, clocks.wall, clocks.steady, fresh, rehome_at=limit, max_payload=max_payload
    )
    return Parts(
        link,
        sender,
        holding,
        history,
        marks,
        registry,
        settling,
        intake,
        Returning(holding, settling, marks, limit, clocks.wall),
        Cancelling(boot, holding, settling, intake, sender, clocks.wall),
        buffers,
        fresh,
        Unrouted(link, sender, registry, clocks.steady),
    )
