"""Messages as jobs and jobs as messages: pure translation. Times on the wire are whole milliseconds since 1970.

The body is the payload's JSON text and nothing else, so that any program can publish a job; what this project knows of
a job is in headers, and defaults are left out. A message without these headers gets the defaults.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from workerpool.sources.base import NewJob
from workerpool_contract.rabbitmq import (
    BROKER_HEADER_PREFIXES,
    HEADER_ATTEMPTS,
    HEADER_CRASHES,
    HEADER_DUE,
    HEADER_ENQUEUED,
    HEADER_EXPIRES,
    HEADER_ID,
    HEADER_JOB_HEADERS,
    HEADER_KEY,
    HEADER_PREFIX,
    HEADER_PRIORITY,
)

JSON_TYPES: Final = frozenset({"", "application/json", "text/json", "text/plain", "application/octet-stream"})
"""Content types of bodies that may be JSON: the last two are what clients put there when nobody says."""
PLAIN_ENCODINGS: Final = frozenset({"", "identity", "utf-8", "utf8"})
NO_HEADERS: Final[Mapping[str, Any]] = {}
LATEST: Final = 253_402_300_799_000
"""The last second of the year 9999, in milliseconds: later times can't be shown, nor asked a stream for."""
MOST: Final = 2**31 - 1
"""The largest count or priority that is believed."""


class Envelope(NamedTuple):
    """A job as its message says it. ``enqueued``: when it became, or becomes, claimable. ``headers``: JSON text.

    ``key``: its unique key. Times in milliseconds since 1970.
    """

    queue: str
    id: int
    payload: str
    enqueued: int
    attempts: int = 0
    crashes: int = 0
    priority: int = 0
    headers: str | None = None
    due: int | None = None
    expires: int | None = None
    key: str | None = None


class Properties(NamedTuple):
    """What AMQP carries beside the body."""

    headers: Mapping[str, Any]
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    timestamp: datetime | None = None


UNREADABLE: Final = Properties(NO_HEADERS, "unreadable/properties")
"""Stands for properties that nobody can read."""


class Invalid(NamedTuple):
    """A message that can't be a job: ``why`` completes "the payload …". ``envelope.payload`` is empty."""

    envelope: Envelope
    body: bytes
    why: str


def new_envelope(queue: str, id_: int, job: NewJob, now: float) -> Envelope:
    """A job that is enqueued at ``now`` (unix seconds)."""
    start = milliseconds(now + max(0.0, job.delay))
    return Envelope(
        queue=queue,
        id=id_,
        payload=job.payload,
        enqueued=start,
        priority=job.priority,
        headers=job.headers,
        due=start if job.delay > 0 else None,
        expires=None if job.expires_in is None else milliseconds(now + job.expires_in),
        key=job.unique_key,
    )


def encode(job: Envelope) -> tuple[bytes, dict[str, Any]]:
    """Body and headers of the message."""
    return job.payload.encode(), headers_of(job)


def headers_of(job: Envelope) -> dict[str, Any]:
    """The headers that say everything about a job but its payload."""
    headers: dict[str, Any] = {HEADER_ID: job.id, HEADER_ENQUEUED: job.enqueued}
    if job.attempts:
        headers[HEADER_ATTEMPTS] = job.attempts
    if job.crashes:
        headers[HEADER_CRASHES] = job.crashes
    if job.priority:
        headers[HEADER_PRIORITY] = job.priority
    if job.headers is not None:
        headers[HEADER_JOB_HEADERS] = job.headers
    if job.due is not None:
        headers[HEADER_DUE] = job.due
    if job.expires is not None:
        headers[HEADER_EXPIRES] = job.expires
    if job.key is not None:
        headers[HEADER_KEY] = job.key
    return headers


def decode(
    queue: str, body: bytes, properties: Properties, *, now: float, fresh: Callable[[], int], max_payload: int = 0
) -> Envelope | Invalid:
    """The job in a message that came from ``queue`` at ``now`` (unix seconds).

    ``fresh`` makes the id of a foreign message. ``max_payload``: bytes, 0 for no limit.
    """
    why = _refusal(body, properties, max_payload)
    payload = ""
    if why is None:
        try:
            payload = body.decode()
        except UnicodeDecodeError as error:
            why = f"is not UTF-8 text: {error.reason} at byte {error.start}"
    job = envelope_of(queue, payload, properties, now, fresh)
    return job if why is None else Invalid(job, body, why)


def envelope_of(queue: str, payload: str, properties: Properties, now: float, fresh: Callable[[], int]) -> Envelope:
    """What the headers say, around ``payload``."""
    headers = properties.headers
    id_ = headers.get(HEADER_ID)
    if type(id_) is not int:
        sent = properties.timestamp
        return Envelope(
            queue, fresh(), payload, milliseconds(now if sent is None else sent.timestamp()), headers=foreign(headers)
        )
    enqueued = headers.get(HEADER_ENQUEUED)
    if type(enqueued) is not int or not 0 <= enqueued <= LATEST:
        enqueued = milliseconds(now)
    job = Envelope(queue, id_, payload, enqueued)
    if len(headers) == 2:  # noqa: PLR2004 - the id and the time: the commonest message by far
        return job
    return job._replace(
        attempts=_count(headers, HEADER_ATTEMPTS, 0),
        crashes=_count(headers, HEADER_CRASHES, 0),
        priority=_count(headers, HEADER_PRIORITY, -MOST),
        headers=_text(headers, HEADER_JOB_HEADERS),
        due=_time(headers, HEADER_DUE),
        expires=_time(headers, HEADER_EXPIRES),
        key=_text(headers, HEADER_KEY),
    )


def copy_id(id_: int, queue: str) -> int:
    """The id of the copy that ``queue`` got of a message to a topic: all copies carry the same one.

    The low 40 bits change by a constant of the queue, so that ids stay unique in it and hardly ever meet in another.
    """
    name = queue.encode()
    return id_ ^ ((zlib.crc32(name) << 8) | (zlib.adler32(name) & 0xFF))


def is_own(properties: Properties) -> bool:
    """Whether this project published the message, so that its id and its message id are good."""
    return type(properties.headers.get(HEADER_ID)) is int


def foreign(headers: Mapping[str, Any]) -> str | None:
    """The headers that a foreign publisher set, as the job's headers; None when there are none."""
    theirs = {
        name: value
        for name, value in headers.items()
        if not name.startswith(BROKER_HEADER_PREFIXES) and not name.startswith(HEADER_PREFIX)
    }
    return json.dumps(theirs, default=_words, ensure_ascii=False) if theirs else None


def milliseconds(seconds: float) -> int:
    """Unix seconds as they travel."""
    return round(seconds * 1000)


def _refusal(body: bytes, properties: Properties, max_payload: int) -> str | None:
    _, content_type, encoding, _, _ = properties
    if content_type not in JSON_TYPES and content_type is not None:
        if content_type == UNREADABLE.content_type:
            return "came with properties or headers that can't be read; publish it with simpler ones"
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in JSON_TYPES and not kind.endswith("+json"):
            return f"has the content type {content_type[:80]!r}; publish JSON as application/json"
    if encoding is not None and encoding.lower() not in PLAIN_ENCODINGS:
        return f"has the content encoding {encoding[:80]!r}; publish it uncompressed"
    if max_payload and len(body) > max_payload:
        return f"has {len(body)} bytes, over the limit of {max_payload}; raise WORKERPOOL_MAX_PAYLOAD_BYTES"
    return None


def _count(headers: Mapping[str, Any], name: str, least: int) -> int:
    value = headers.get(name)
    return max(least, min(value, MOST)) if type(value) is int else 0


def _time(headers: Mapping[str, Any], name: str) -> int | None:
    value = headers.get(name)
    return max(0, min(value, LATEST)) if type(value) is int else None


def _text(headers: Mapping[str, Any], name: str) -> str | None:
    value = headers.get(name)
    return value if type(value) is str else None


def _words(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    return value.isoformat() if isinstance(value, datetime) else str(value)
