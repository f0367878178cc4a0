"""What became of one attempt, as a value; decided here by pure functions, carried out by the source."""

from dataclasses import dataclass
from enum import StrEnum


class DeadReason(StrEnum):
    """Why a job became a dead letter."""

    ERROR = "error"
    TIMEOUT = "timeout"
    INVALID = "invalid"
    TERMINAL = "terminal"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Output:
    """A message published together with the settlement: ``payload`` is JSON text."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler's effect is done. ``result``: JSON text to keep, or None. ``outputs``: published with the finish."""

    result: str | None = None
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Failed for now: run again after ``delay`` seconds; one retry is charged."""

    delay: float
    error: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """No further attempt. ``outputs`` holds the dead-letter message when the worker names a dlq_topic."""

    reason: DeadReason
    error: str
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Expired:
    """The job's expires_at passed before an attempt began."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Cut off by drain, fencing, cancellation or shutdown, or never started: handed back at no cost."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The lease was lost: there is nothing to settle."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler completed the job in its own transaction: there is nothing left to settle."""


Outcome = Succeeded | Retry | DeadLetter | Expired | Interrupted | Stale | Completed

SUCCEEDED = Succeeded()
"""The commonest outcome, shared: nothing to keep and nothing to publish."""
