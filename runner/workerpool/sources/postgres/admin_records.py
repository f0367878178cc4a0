"""What the administration of a Postgres queue answers: frozen values, times in UTC, durations in seconds."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job is in its life; the last four are ends."""

    READY = "ready"
    IN_FLIGHT = "in-flight"
    DELAYED = "delayed"
    DEAD = "dead"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


UNFINISHED: Final = (JobState.IN_FLIGHT, JobState.READY, JobState.DELAYED, JobState.DEAD)
"""What is listed when nobody asks for a state: everything that still needs somebody."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One line of a list. ``since``: when it came into this state, as far as the tables tell. ``due``: delayed jobs."""

    id: int
    queue: str
    state: JobState
    priority: int
    attempts: int
    crashes: int
    since: datetime
    due: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """The runner that has the job now; name, host and pid are None when its row is gone."""

    boot: str
    lease_until: datetime
    name: str | None = None
    host: str | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that a handler reported while it ran. ``data``: JSON text."""

    at: datetime
    attempt: int
    state: str
    progress: int | None
    data: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One end of the job in the history: how it went, when (UTC) and what came out (JSON text)."""

    state: JobState
    started_at: datetime
    finished_at: datetime
    attempts: int
    error: str | None
    result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """Everything known of one job. ``waited``: seconds from becoming claimable to its start, or to now; None: unknown.

    ``payload``, ``headers`` and ``result``: JSON text. ``runs``: earlier ends, newest first.
    """

    id: int
    queue: str
    state: JobState
    priority: int
    attempts: int
    crashes: int
    enqueued_at: datetime
    available_at: datetime
    waited: float | None = None
    expires_at: datetime | None = None
    finished_at: datetime | None = None
    unique_key: str | None = None
    holder: Holder | None = None
    reason: str | None = None
    error: str | None = None
    worker: str | None = None
    headers: str | None = None
    payload: str | None = None
    result: str | None = None
    events: tuple[JobEvent, ...] = ()
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a retry or a cancellation did to one job. ``before``: the state found, None when nobody knows the job.

    ``note`` says in words what happened, or why nothing did.
    """

    id: int
    before: JobState | None
    changed: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJob:
    """One dead letter. ``retries``: made after the first attempt. ``payload`` and ``headers``: JSON text."""

    id: int
    queue: str
    died_at: datetime
    enqueued_at: datetime
    reason: str
    error: str
    worker: str | None
    priority: int
    retries: int
    crashes: int
    forwarded_to: str | None
    headers: str | None
    payload: str


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Which dead letters: of one queue (None: all), or these ids; of one reason; at most ``limit`` (None: no limit).

    ``forwarded``: also those that a dead-letter topic got a copy of.
    """

    queue: str | None = None
    ids: tuple[int, ...] = ()
    reason: str | None = None
    limit: int | None = None
    forwarded: bool = True
