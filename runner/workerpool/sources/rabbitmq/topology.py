"""What must exist on a broker, in the order in which it is declared. Pure.

Verified on RabbitMQ 3.10.8, the oldest release that is supported:

- ``x-dead-letter-strategy`` works as an argument of a quorum queue (its documentation names the policy only) and an
  unknown value is refused; together with ``x-overflow: reject-publish`` dead letters move at-least-once.
- Arguments that it doesn't know, such as those of 4.x (``x-delayed-retry-type``, ``x-consumer-timeout``), are taken,
  kept and ignored; ``x-delivery-limit: -1`` too. ``x-max-priority`` is refused for a quorum queue, and
  ``x-delivery-limit`` for a classic one.
- Declaring what exists with the same arguments succeeds. Other ones close the channel with 406 and one of the
  differences: "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'a' in vhost '/': received '6' but
  current is '5'", or "received none but current is the value 'at-least-once' of type 'longstr'". Of the arguments that
  it doesn't know it compares none. What can't be declared at all says "invalid arg".
- ``x-delivery-count`` is in the headers from the first delivery on (0), also of a message got by ``basic.get``; a
  missing one means 0 too.
- A quorum queue declared less than about three seconds before the server is killed (kill -9) may have no leader
  afterwards: publishes to it are neither confirmed nor refused. Only deleting and declaring it helps.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from workerpool_contract.rabbitmq import (
    CONTROL,
    LANE_EXCHANGE,
    REPORTS,
    STREAMS,
    TOPICS,
    UNROUTED,
    UNROUTED_AGAIN,
    WAITS,
    Arguments,
    dead,
    dead_arguments,
    lane_exchange_arguments,
    lane_suffix,
    topic_exchange,
    unrouted_arguments,
    wait_arguments,
    work_arguments,
)

Version = tuple[int, int, int]
PRIORITIES = (0, 1, -1)
"""One for each lane."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange of a ``type`` (fanout, topic, direct)."""

    name: str
    type: str
    arguments: Arguments = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"exchange {self.name} ({self.type})"


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue or stream."""

    name: str
    arguments: Arguments = field(hash=False)

    def __str__(self) -> str:
        kind = self.arguments.get("x-queue-type", "classic")
        return f"stream {self.name}" if kind == "stream" else f"queue {self.name} ({kind})"


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages to ``exchange`` with the routing ``key`` are copied to ``queue``."""

    exchange: str
    queue: str
    key: str

    def __str__(self) -> str:
        return f"binding {self.exchange} → {self.queue}" + (f" (key {self.key})" if self.key else "")


Thing = Exchange | Queue | Binding


def found_as(thing: Thing, argument: str, has: object) -> Thing:
    """``thing`` as it is called where its ``argument`` is ``has``, so that its real type shows."""
    match thing, argument:
        case Queue(name), "x-queue-type":
            return Queue(name, {"x-queue-type": has})
        case Exchange(name), "type":
            return Exchange(name, str(has))
        case _:
            return thing


def shared(version: Version) -> list[Thing]:
    """What all queues of a vhost have in common: exchanges, the ladder of waits, streams.

    Where the ladder ends comes first: from the first wait queue on, jobs may come out of it.
    """
    found: list[Thing] = [
        Exchange(UNROUTED, "fanout"),
        Exchange(UNROUTED_AGAIN, "fanout"),
        Queue(UNROUTED_AGAIN, unrouted_arguments(version, UNROUTED)),
        Binding(UNROUTED_AGAIN, UNROUTED_AGAIN, ""),
        Queue(UNROUTED, unrouted_arguments(version)),
        Binding(UNROUTED, UNROUTED, ""),
        Exchange(LANE_EXCHANGE, "direct", lane_exchange_arguments()),
    ]
    found += [Exchange(topic_exchange(priority), "topic") for priority in PRIORITIES]
    found += [Exchange(CONTROL, "fanout"), Exchange(REPORTS, "fanout")]
    for wait in WAITS:
        found += [
            Exchange(wait.name, "fanout"),
            Queue(wait.name, wait_arguments(wait.seconds)),
            Binding(wait.name, wait.name, ""),
        ]
    return found + [Queue(name, arguments) for name, arguments in STREAMS.items()]


def work(queue: str, limit: int, version: Version) -> list[Thing]:
    """The dead letters of ``queue`` first, then its three lanes: a lane without them would lose what it gives up.

    The bindings bring the lanes what waited for its time; ``shared`` must be there.
    """
    names = [f"{queue}{lane_suffix(priority)}" for priority in PRIORITIES]
    return [
        Queue(dead(queue), dead_arguments(version)),
        *(Queue(name, work_arguments(queue, limit)) for name in names),
        *(Binding(LANE_EXCHANGE, name, name) for name in names),
    ]


def subscription(topic: str, queue: str, limit: int, version: Version) -> list[Thing]:
    """``queue`` and the bindings that give it a copy of what is sent to ``topic``."""
    bindings = [
        Binding(f"{TOPICS}{lane_suffix(priority)}", f"{queue}{lane_suffix(priority)}", topic) for priority in PRIORITIES
    ]
    return [*work(queue, limit, version), *bindings]


def topic_of(queue: str) -> str:
    """The topic to which a queue of this name subscribes: what is before the @ of ``topic@group``, or its own name."""
    return queue.rpartition("@")[0] or queue


def everything(queues: Iterable[str], limit: int, version: Version) -> list[Thing]:
    """What runners that consume ``queues`` need."""
    return [
        *shared(version),
        *(thing for queue in queues for thing in subscription(topic_of(queue), queue, limit, version)),
    ]
