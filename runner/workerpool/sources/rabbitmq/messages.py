"""Messages as aiormq delivers them, reduced to what the rest of the source looks at."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from workerpool.sources.rabbitmq.envelope import (
    NO_HEADERS,
    UNREADABLE,
    Envelope,
    Invalid,
    Properties,
    copy_id,
    decode,
    envelope_of,
    is_own,
)
from workerpool_contract.rabbitmq import TOPICS

log = logging.getLogger("workerpool.rabbitmq")


class Arrival(NamedTuple):
    """A message that this process got and must settle. ``lane``: the queue that it came from; ``tag``: its delivery."""

    queue: str
    lane: str
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    body: bytes


def arrival(queue: str, lane: str, message: DeliveredMessage) -> Arrival:
    """What came, from one lane of ``queue``."""
    frame = message.delivery
    assert isinstance(frame, Basic.Deliver | Basic.GetOk)
    return Arrival(
        queue=queue,
        lane=lane,
        tag=frame.delivery_tag or 0,
        redelivered=bool(frame.redelivered),
        exchange=frame.exchange or "",
        routing_key=frame.routing_key or "",
        properties=properties_of(message),
        body=message.body,
    )


def job_of(it: Arrival, now: float, fresh: Callable[[], int], max_payload: int = 0) -> Envelope | Invalid:
    """The job in a message; see ``envelope.decode``. Copies of a message to a topic get an id per queue.

    Raises nothing, whatever a foreign program published: what nobody thought of is ``Invalid`` as well.
    """
    try:
        job = decode(it.queue, it.body, it.properties, now=now, fresh=fresh, max_payload=max_payload)
    except Exception as error:
        log.exception("A message of %s can't be read", it.lane)
        nothing = envelope_of(it.queue, "", UNREADABLE, now, fresh)
        return Invalid(nothing, it.body, f"can't be read: {type(error).__name__}")
    if it.exchange.startswith(TOPICS) and it.routing_key != it.queue and is_own(it.properties):
        if isinstance(job, Invalid):
            return job._replace(envelope=job.envelope._replace(id=copy_id(job.envelope.id, it.queue)))
        return job._replace(id=copy_id(job.id, it.queue))
    return job


def properties_of(message: DeliveredMessage) -> Properties:
    """What came beside the body."""
    given = message.header.properties
    return Properties(
        headers=NO_HEADERS if given.headers is None else given.headers,
        content_type=given.content_type,
        content_encoding=given.content_encoding,
        message_id=given.message_id,
        timestamp=given.timestamp,
    )
