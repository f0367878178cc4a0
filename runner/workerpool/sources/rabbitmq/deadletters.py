"""Dead letters as messages: pure translation.

The body is the ``DeadLetterBody`` that other programs read, with the payload's own text in it, untouched; everything
else is in headers. What the broker itself dead-lettered (x-delivery-limit) has neither and is understood all the same.
"""

import base64
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from workerpool.outcome import DeadReason
from workerpool.sources.rabbitmq.envelope import Envelope, Properties, envelope_of, headers_of, milliseconds
from workerpool_contract.rabbitmq import HEADER_PREFIX

HEADER_REASON: Final = f"{HEADER_PREFIX}reason"
HEADER_DIED: Final = f"{HEADER_PREFIX}died"
HEADER_ORIGINAL: Final = f"{HEADER_PREFIX}original"
"""How the body holds the payload: ``json`` verbatim, ``text`` that is no JSON as a string, ``base64`` of no UTF-8."""

ORIGINAL: Final = b',"original":'
BY_BROKER: Final = "delivered time and again without being settled: its runners died, or the broker lost them"

REJECTED: Final = (
    "rejected as it came: its dead letter was too large for the broker, or another program did it; the log and the "
    "history say why"
)


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


def decode_dead(queue: str, body: bytes, properties: Properties, now: float, fresh: Callable[[], int]) -> DeadJob:
    """The dead letter of ``queue`` in a message that was read at ``now`` (unix seconds)."""
    headers = properties.headers
    reason, kind, died = headers.get(HEADER_REASON), headers.get(HEADER_ORIGINAL), headers.get(HEADER_DIED)
    if not isinstance(reason, str) or not isinstance(kind, str):
        return _by_broker(queue, body, properties, now, fresh)
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


def _by_broker(queue: str, body: bytes, properties: Properties, now: float, fresh: Callable[[], int]) -> DeadJob:
    raw = None
    try:
        payload = body.decode()
    except UnicodeDecodeError:
        payload, raw = "", body
    job = envelope_of(queue, payload, properties, now, fresh)
    reason, error = DeadReason.CRASHED, BY_BROKER
    if _death(properties).get("reason") == "rejected":
        reason, error = DeadReason.ERROR, REJECTED
    return DeadJob(job, str(reason), error, "", _died(properties, now), raw)


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
