"""What the in-memory engine keeps of jobs: the row that changes, and the frozen records of what became of it."""

from dataclasses import dataclass
from typing import NamedTuple

from workerpool.sources.base import Job


class Token(NamedTuple):
    """The fencing token: which source claimed, and the number of its claim."""

    boot: int
    claim: int


@dataclass(slots=True, eq=False)
class Row:
    """An unfinished job. Times are the engine clock's seconds; ``token`` and ``lease_until`` are None unless claimed.

    ``marked``: a job that crashed before was about to start under this lease; only then is it charged again.
    """

    id: int
    queue: str
    payload: str
    headers: str | None
    priority: int
    unique_key: str | None
    enqueued_at: float
    available_at: float
    expires_at: float | None
    attempts: int = 0
    crashes: int = 0
    marked: bool = False
    last_error: str | None = None
    token: Token | None = None
    lease_until: float = 0.0

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the queue: high priorities first, then the order of enqueueing."""
        return (-self.priority, self.id)

    def claimed(self, now: float) -> Job:
        """The row as its claimant gets it."""
        return Job(
            queue=self.queue,
            id=self.id,
            attempts=self.attempts,
            crashes=self.crashes,
            priority=self.priority,
            payload=self.payload,
            headers=self.headers,
            waited=now - self.available_at,
            expired=self.is_expired(now),
            handle=self.token,
        )

    def is_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A dead letter. ``forwarded_to``: the dead-letter topic that got a message about it, None when there is none."""

    id: int
    queue: str
    reason: str
    error: str
    worker: str
    priority: int
    attempts: int
    crashes: int
    payload: str
    headers: str | None
    forwarded_to: str | None
    died_at: float


@dataclass(frozen=True, slots=True)
class FinishedRecord:
    """A line of the history. ``state``: completed, dead, expired or cancelled."""

    id: int
    queue: str
    state: str
    priority: int
    attempts: int
    crashes: int
    payload: str
    headers: str | None
    enqueued_at: float
    finished_at: float
    error: str | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A progress event. ``attempt`` counts from 1; ``data`` is JSON text."""

    job_id: int
    attempt: int
    state: str
    percent: int | None
    data: str | None
    at: float


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """Something that was sent to a topic, whoever got a copy of it."""

    topic: str
    payload: str
    headers: str | None
    at: float
