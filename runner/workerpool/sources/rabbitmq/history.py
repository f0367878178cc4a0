"""Records of the history stream: what became of jobs, and what they reported on the way. Pure."""

from typing import Any

from workerpool.sources.rabbitmq.envelope import Envelope

Record = dict[str, Any]


def finished_record(  # noqa: PLR0913 - a flat record
    job: Envelope,
    state: str,
    now: int,
    *,
    worker: str,
    seconds: float = 0.0,
    error: str | None = None,
    result: str | None = None,
    reason: str | None = None,
    forwarded: str | None = None,
) -> Record:
    """A job that is over. ``state``: completed, dead, expired or cancelled. ``now``: milliseconds since 1970.

    ``forwarded``: the topic that got its dead letter. The payload of a completed job is not kept: the stream would hold
    everything that ever ran through the broker.
    """
    record: Record = {
        "id": job.id,
        "queue": job.queue,
        "state": state,
        "attempts": job.attempts,
        "crashes": job.crashes,
        "priority": job.priority,
        "enqueued": job.enqueued,
        "finished": now,
        "worker": worker,
        "seconds": round(seconds, 6),
    }
    if state != "completed":
        record |= {"payload": job.payload, "headers": job.headers}
    for name, value in (
        ("key", job.key),
        ("error", error),
        ("result", result),
        ("reason", reason),
        ("forwarded", forwarded),
    ):
        if value is not None:
            record[name] = value
    return record


def event_record(job: Envelope, now: int, state: str, percent: int | None, data: str | None) -> Record:
    """What a running job reported. ``data``: JSON text."""
    return {
        "event": job.id,
        "queue": job.queue,
        "attempt": job.attempts + 1,
        "state": state,
        "percent": percent,
        "data": data,
        "at": now,
    }
