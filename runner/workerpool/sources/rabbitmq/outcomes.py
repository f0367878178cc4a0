"""Outcomes as what they mean on a broker: what to publish, what to record, whether the unique key is free. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from workerpool.errors import PayloadError
from workerpool.outcome import DeadLetter, DeadReason, Expired, Interrupted, Output, Retry, Succeeded
from workerpool.sources.base import Settlement
from workerpool.sources.rabbitmq.deadletters import DeadJob, encode_dead, smaller
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.envelope import Envelope, encode
from workerpool.sources.rabbitmq.history import Record, finished_record
from workerpool.sources.rabbitmq.ladder import wait_exchange
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.outgoing import encode as encode_frames
from workerpool_contract.rabbitmq import dead, lane, lanes, topic_exchange

FRAME: Final = 131_064
"""Bytes that a frame holds on a broker whose frame_max nobody changed."""


class Plan(NamedTuple):
    """What settles one delivery, before its acknowledgement. ``record`` is None for a job that isn't over.

    ``letter``: what ``outgoing`` says, when that is the dead letter among those of its queue.
    """

    delivery: Delivery
    outgoing: Sequence[Outgoing]
    record: Record | None
    letter: DeadJob | None = None


NOTHING: Final[Sequence[Outgoing]] = ()


def plan(it: Settlement, now: int, fresh: Callable[[], int]) -> Plan:
    """What an outcome means. ``now``: milliseconds since 1970; ``fresh`` makes ids of the messages to topics."""
    delivery: Delivery = it.job.handle
    job, seconds, worker = delivery.charged(), it.duration, it.worker
    match it.outcome:
        case Succeeded(result, outputs):
            record = finished_record(job, "completed", now, worker=worker, seconds=seconds, result=result)
            return Plan(delivery, _topics(outputs, now, fresh), record)
        case Retry(delay, _):
            return Plan(delivery, (again(job, now, delay),), None)
        case Interrupted():
            return Plan(delivery, (handed_back(job),), None)
        case DeadLetter() as outcome:
            return _dead(delivery, job, outcome, it, now, fresh)
        case Expired():
            return Plan(delivery, NOTHING, finished_record(job, "expired", now, worker=worker))
        case other:
            raise AssertionError(f"{other!r} is no outcome to carry out")


def ways(plan: Plan) -> Iterator[Plan]:
    """The plan, and others that settle the same by smaller messages, where there are any."""
    yield plan
    if plan.letter is not None:
        for body, headers in smaller(plan.letter):
            yield plan._replace(outgoing=(Outgoing("", plan.outgoing[0].routing_key, body, headers),))


def again(job: Envelope, now: int, delay: float) -> Outgoing:
    """The next attempt, due in ``delay`` seconds."""
    due = now + round(max(0.0, delay) * 1000)
    later = job._replace(attempts=job.attempts + 1, enqueued=due, due=due if due > now else None)
    return waiting(later, max(0.0, delay))


def waiting(job: Envelope, remaining: float) -> Outgoing:
    """A job that is due in ``remaining`` seconds, on its way to its lane by the ladder."""
    return Outgoing(wait_exchange(remaining), lane(job.queue, job.priority), *encode(job))


def handed_back(job: Envelope) -> Outgoing:
    """A job that comes next: a copy, which the broker has not delivered yet, in the lane that is taken first.

    A job of low priority stays among its like: it would overtake all others.
    """
    there = lanes(job.queue)
    return Outgoing("", there.high if job.priority >= 0 else there.low, *encode(job._replace(due=None)))


def given_back(job: Envelope, now: float) -> Outgoing:
    """A job that nobody started by ``now`` (unix seconds): as ``handed_back``, or on its way until it is due."""
    remaining = 0.0 if job.due is None else job.due / 1000 - now
    return waiting(job, remaining) if remaining > 0 else handed_back(job)


def unsayable(message: Outgoing) -> str | None:
    """Why a message can't be published, whatever the state of the broker; None when it can."""
    try:
        encode_frames(message, "", 1, FRAME)
    except PayloadError as error:
        return str(error)
    return None


def invalid(delivery: Delivery, body: bytes, error: str, now: int) -> Plan:
    """A message that can't be a job at all."""
    return buried(delivery, DeadJob(delivery.charged(), str(DeadReason.INVALID), error, "", now, raw=body))


def buried(delivery: Delivery, letter: DeadJob) -> Plan:
    """A message whose dead letter is known."""
    job, error, reason = letter.envelope, letter.error, letter.reason
    record = finished_record(job, "dead", letter.died, worker=letter.worker, error=error, reason=reason)
    return Plan(delivery, (Outgoing("", dead(job.queue), *encode_dead(letter)),), record, letter)


def _dead(
    delivery: Delivery, job: Envelope, outcome: DeadLetter, it: Settlement, now: int, fresh: Callable[[], int]
) -> Plan:
    reason, forwarded = str(outcome.reason), outcome.outputs[0].topic if outcome.outputs else None
    record = finished_record(
        job,
        "dead",
        now,
        worker=it.worker,
        seconds=it.duration,
        error=outcome.error,
        reason=reason,
        forwarded=forwarded,
    )
    if outcome.outputs:
        return Plan(delivery, _topics(outcome.outputs, now, fresh), record)
    letter = DeadJob(job, reason, outcome.error, it.worker, now)
    return Plan(delivery, (Outgoing("", dead(job.queue), *encode_dead(letter)),), record, letter)


def _topics(outputs: Sequence[Output], now: int, fresh: Callable[[], int]) -> Sequence[Outgoing]:
    if not outputs:
        return NOTHING
    return [
        Outgoing(topic_exchange(0), it.topic, *encode(Envelope(it.topic, fresh(), it.payload, now))) for it in outputs
    ]
