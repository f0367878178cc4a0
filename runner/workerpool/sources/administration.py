"""What the command line asks of an engine, and the answers: frozen values, times in UTC, durations in seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, Self

Progress = Callable[[int], None]
"""Told the size of each batch that is done."""


def untold(_size: int) -> None:
    """Nobody follows the progress."""


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


@dataclass(frozen=True, slots=True)
class TopicQueue:
    """A queue that gets a copy of what is sent to ``topic``.

    ``jobs``: unfinished ones in it. ``age``: seconds that its oldest ready job has waited, None where the engine can't
    tell. ``served``: a live runner consumes it.
    """

    topic: str
    queue: str
    jobs: int
    age: float | None
    served: bool


class Administration(Protocol):
    """Looking at the jobs and dead letters of one engine, and putting them right; ``async with`` opens and closes it.

    All methods raise SourceUnavailable and SourceError; opening raises SchemaError and ConfigError too.
    """

    async def __aenter__(self) -> Self:
        """Connects."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Gives the connection back."""
        ...

    @property
    def unseen(self) -> str | None:
        """Which jobs a list of all states leaves out on this engine, in words; None when none."""
        ...

    async def topics(self) -> Sequence[TopicQueue]:
        """Which queues get copies of which topics."""
        ...

    async def unsubscribe(self, topic: str, queue: str) -> TopicQueue:
        """Ends a subscription; raises ConfigError when there is none, SourceError while a runner consumes the queue."""
        ...

    async def jobs(self, queue: str | None, state: JobState | None, limit: int) -> Sequence[JobRow]:
        """At most ``limit`` jobs in the order in which they come up; without a state those that are not finished.

        Raises ConfigError for an unknown queue and for a state that the engine can't list.
        """
        ...

    async def show(self, job_id: int) -> JobDetails | None:
        """Everything known of a job, None when there is no trace of it."""
        ...

    async def retry(self, job_id: int) -> Change:
        """Makes a dead, delayed or ended job ready now; a dead or ended one starts again with all its retries."""
        ...

    async def cancel(self, job_id: int) -> Change:
        """Takes an unfinished job away; a runner that has it is told to cut its handler off."""
        ...

    async def dead(self, wanted: DeadFilter) -> Sequence[DeadJob]:
        """Dead letters, newest first. Raises ConfigError for an unknown queue."""
        ...

    async def dead_count(self, wanted: DeadFilter) -> int:
        """How many dead letters match. Raises ConfigError for an unknown queue."""
        ...

    async def redrive(self, wanted: DeadFilter, progress: Progress = untold) -> int:
        """Makes dead letters ready again: same id, payload, headers and priority, no attempt and no crash on record.

        Those that die again meanwhile stay dead.
        """
        ...

    async def drop(self, wanted: DeadFilter, progress: Progress = untold) -> int:
        """Deletes dead letters for good."""
        ...
