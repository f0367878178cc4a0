"""One dead letter of a broker: what it says, whether it is meant, and what it is as a job again. Pure."""

import base64
import json
from datetime import datetime

from workerpool.outcome import DeadReason
from workerpool.sources.administration import DeadFilter, DeadJob
from workerpool.sources.rabbitmq.admin_desk import is_one_of, moment, stable_id
from workerpool.sources.rabbitmq.deadletters import DeadJob as Letter
from workerpool.sources.rabbitmq.deadletters import decode_dead
from workerpool.sources.rabbitmq.envelope import copy_id, envelope_of, headers_of, is_own, milliseconds
from workerpool.sources.rabbitmq.messages import Arrival
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool_contract.rabbitmq import TOPICS, lane

__all__ = ["Letter", "letter_of", "matches", "ready_again", "told"]


def letter_of(it: Arrival, now: float) -> Letter:
    """What a message among the dead letters says at ``now`` (unix seconds), whoever put it there."""
    try:
        letter = decode_dead(it.queue, it.body, it.properties, now, lambda: stable_id(it))
    except (ValueError, KeyError, TypeError) as error:
        job = envelope_of(it.queue, "", it.properties, now, lambda: stable_id(it))
        why = f"this dead letter can't be read: {error}"
        return Letter(job, str(DeadReason.INVALID), why, "", milliseconds(now), raw=it.body)
    if not is_own(it.properties):
        # Nobody says when it was published, but it was before it died.
        job = letter.envelope
        letter = letter._replace(envelope=job._replace(enqueued=min(job.enqueued, letter.died)))
    if _copied_by_broker(it):
        return letter._replace(envelope=letter.envelope._replace(id=copy_id(letter.envelope.id, it.queue)))
    return letter


def matches(letter: Letter, wanted: DeadFilter) -> bool:
    """Whether ``wanted`` means this one; its queue is no question here."""
    if wanted.reason is not None and letter.reason != wanted.reason:
        return False
    return not wanted.ids or is_one_of(wanted.ids, letter.envelope.id, letter.envelope.queue)


def ready_again(letter: Letter, now: int) -> Outgoing:
    """The job as it was sent, ready at ``now`` (milliseconds since 1970), with all its retries and without its key."""
    job = letter.envelope._replace(attempts=0, crashes=0, enqueued=now, due=None, expires=None, key=None)
    body = job.payload.encode() if letter.raw is None else letter.raw
    return Outgoing("", lane(job.queue, job.priority), body, headers_of(job))


def told(letter: Letter, enqueued: datetime) -> DeadJob:
    """What is told of it. ``enqueued``: at first, whatever retries there were."""
    job = letter.envelope
    return DeadJob(
        id=job.id,
        queue=job.queue,
        died_at=moment(letter.died),
        enqueued_at=enqueued,
        reason=letter.reason,
        error=letter.error,
        worker=letter.worker or None,
        priority=job.priority,
        retries=job.attempts,
        crashes=job.crashes,
        forwarded_to=None,
        headers=job.headers,
        payload=as_json(job.payload if letter.raw is None else letter.raw),
    )


def as_json(payload: str | bytes) -> str:
    """``payload`` as JSON text: itself or, when it is none, a string that holds the text, or the bytes in base64."""
    try:
        text = payload if isinstance(payload, str) else payload.decode()
    except UnicodeDecodeError:
        return json.dumps(base64.b64encode(payload).decode() if isinstance(payload, bytes) else payload)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    return text


def _copied_by_broker(it: Arrival) -> bool:
    """Whether the broker made this a dead letter of a copy of a message to a topic: it carries the message's id."""
    deaths = it.properties.headers.get("x-death")
    if not is_own(it.properties) or not isinstance(deaths, list) or not deaths:
        return False
    death = deaths[0]
    if not isinstance(death, dict) or not str(death.get("exchange")).startswith(TOPICS):
        return False
    return it.queue not in (death.get("routing-keys") or ())
