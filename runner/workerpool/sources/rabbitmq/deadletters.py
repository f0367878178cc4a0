"""Dead letters as messages: pure translation.

The body is the ``DeadLetterBody`` that other programs read, with the payload's own text in it, untouched; everything
else is in headers. A message whose letter would be too large for the broker is there as it came, with the rest in
headers. What the broker itself dead-lettered (x-delivery-limit) has neither and is understood all the same.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from workerpool.outcome import DeadReason
from workerpool.sources.rabbitmq.envelope import (
    Envelope,
    Properties,
    envelope_of,
    foreign,
    headers_of,
    milliseconds,
)
from workerpool_contract.rabbitmq import BROKER_HEADER_PREFIXES, HEADER_PREFIX

HEADER_REASON: Final = f"{HEADER_PREFIX}reason"
HEADER_DIED: Final = f"{HEADER_PREFIX}died"
HEADER_ORIGINAL: Final = f"{HEADER_PREFIX}original"
"""How the body holds the payload: ``json`` verbatim, ``text`` that is no JSON as a string, ``base64`` of no UTF-8.

``body``: it is nothing but the payload, and error and worker are in headers.
"""
HEADER_ERROR: Final = f"{HEADER_PREFIX}error"
HEADER_WORKER: Final = f"{HEADER_PREFIX}worker"
AS_IT_CAME: Final = "body"
MOST_ERROR: Final = 4_000
"""Characters of an error in a header: a frame has to hold all headers."""

ORIGINAL: Final = b',"original":'
BY_BROKER: Final = "delivered time and again without being settled: its runners died, or the broker lost them"

REJECTED: Final = "rejected by another program, without a word why"
BARE: Final = "; its headers fit into no frame with this, and are in the history"


class DeadJob(NamedTuple):
    """A dead letter. ``died``: milliseconds since 1970. ``raw``: a payload that is no text (that is empty then)."""

    envelope: Envelope
    reason: str
    error: str
    worker: str
    died: int
    raw: bytes | None = None


def encode_dead(dead: DeadJob) -> tuple[bytes, dict[str, Any]]:
    """Body and headers of the message."""
    kind, original = _original(dead)
    start = json.dumps(
        {"error": dead.error, "worker": dead.worker, "retries": dead.envelope.attempts}, separators=(",", ":")
    )
    body = b"".join((start.encode()[:-1], ORIGINAL, original, b"}"))
    added = {HEADER_REASON: dead.reason, HEADER_DIED: dead.died, HEADER_ORIGINAL: kind}
    return body, headers_of(dead.envelope) | added


def encode_as_it_came(dead: DeadJob) -> tuple[bytes, dict[str, Any]]:
    """Body and headers of the message with the body that the job had, which the broker took once."""
    added = {
        HEADER_REASON: dead.reason,
        HEADER_DIED: dead.died,
        HEADER_ORIGINAL: AS_IT_CAME,
        HEADER_ERROR: _plain(dead.error),
        HEADER_WORKER: _plain(dead.worker),
    }
    body = dead.envelope.payload.encode() if dead.raw is None else dead.raw
    return body, headers_of(dead.envelope) | added


def smaller(dead: DeadJob) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Ways to say a dead letter that is too large as ``encode_dead`` says it, the most faithful first."""
    yield encode_as_it_came(dead)
    bare = dead._replace(envelope=dead.envelope._replace(headers=None))
    if (table := _table(dead.envelope.headers)) is not None:
        # As a foreign program set them they may be half as long as in one text, where each quote is escaped.
        body, headers = encode_as_it_came(bare)
        yield body, table | headers
    yield encode_as_it_came(
        bare._replace(envelope=bare.envelope._replace(key=None), error=dead.error[: MOST_ERROR - len(BARE)] + BARE)
    )


def encode_again(dead: DeadJob, properties: Properties) -> tuple[bytes, dict[str, Any]]:
    """Body and headers of a copy of the letter that came with ``properties``, as large as it was."""
    written = properties.headers.get(HEADER_ORIGINAL)
    return encode_dead(dead) if isinstance(written, str) and written != AS_IT_CAME else encode_as_it_came(dead)


def decode_dead(queue: str, body: bytes, properties: Properties, now: float, fresh: Callable[[], int]) -> DeadJob:
    """The dead letter of ``queue`` in a message that was read at ``now`` (unix seconds)."""
    headers = properties.headers
    reason, kind, died = headers.get(HEADER_REASON), headers.get(HEADER_ORIGINAL), headers.get(HEADER_DIED)
    if not isinstance(reason, str) or not isinstance(kind, str):
        return _by_broker(queue, body, properties, now, fresh)
    if kind == AS_IT_CAME:
        return _as_it_came(queue, body, properties, now, fresh)
    said = json.loads(body)
    payload, raw = "", None
    if kind == "json":
        payload = body[body.index(ORIGINAL) + len(ORIGINAL) : -1].decode()
    elif kind == "text":
        payload = said["original"]
    else:
        raw = base64.b64decode(said["original"])
    return DeadJob(
        envelope=envelope_of(queue, payload, properties, now, fresh),
        reason=reason,
        error=str(said["error"]),
        worker=str(said["worker"]),
        died=died if isinstance(died, int) else milliseconds(now),
        raw=raw,
    )


def _as_it_came(queue: str, body: bytes, properties: Properties, now: float, fresh: Callable[[], int]) -> DeadJob:
    payload, raw = _text(body)
    headers, job = properties.headers, envelope_of(queue, payload, properties, now, fresh)
    if job.headers is None:
        job = job._replace(headers=foreign(headers))
    reason, error, worker = (str(headers.get(name, "")) for name in (HEADER_REASON, HEADER_ERROR, HEADER_WORKER))
    died = headers.get(HEADER_DIED)
    return DeadJob(job, reason, error, worker, died if isinstance(died, int) else milliseconds(now), raw)


def _by_broker(queue: str, body: bytes, properties: Properties, now: float, fresh: Callable[[], int]) -> DeadJob:
    payload, raw = _text(body)
    job = envelope_of(queue, payload, properties, now, fresh)
    reason, error = DeadReason.CRASHED, BY_BROKER
    if _death(properties).get("reason") == "rejected":
        reason, error = DeadReason.ERROR, REJECTED
    return DeadJob(job, str(reason), error, "", _died(properties, now), raw)


def _plain(text: str) -> str:
    """A text that a header can hold."""
    return text[:MOST_ERROR].encode(errors="replace").decode()


def _text(body: bytes) -> tuple[str, bytes | None]:
    """``payload`` and ``raw`` of a body."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return "", body


def _table(headers: str | None) -> dict[str, Any] | None:
    """A job's headers as those of AMQP, without names that mean something to brokers or to us; None: they are none."""
    try:
        found = json.loads(headers or "null")
    except (ValueError, RecursionError):
        return None
    reserved = (*BROKER_HEADER_PREFIXES, HEADER_PREFIX)
    if not isinstance(found, dict) or any(name.startswith(reserved) for name in found):
        return None
    return found


def _died(properties: Properties, now: float) -> int:
    moment = _death(properties).get("time")
    return milliseconds(now if moment is None else moment.timestamp())


def _death(properties: Properties) -> dict[str, Any]:
    """What the broker says of the last time that it made a dead letter of the message."""
    deaths = properties.headers.get("x-death")
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}


def _original(dead: DeadJob) -> tuple[str, bytes]:
    if dead.raw is not None:
        return "base64", b'"' + base64.b64encode(dead.raw) + b'"'
    payload = dead.envelope.payload
    try:
        json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return "text", json.dumps(payload).encode()
    return "json", payload.encode()


def _refuse(word: str) -> None:
    raise ValueError(word)
