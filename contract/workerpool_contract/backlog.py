"""A reading of a queue: how much work waits, or that nobody knows. Unknown is never zero."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backlog:
    """One reading of one queue.

    ``ready``: jobs that a runner could claim now (expired leases included). ``in_flight``: jobs under a live lease.
    ``delayed``: jobs due later (retries included). ``dead``: dead letters kept. ``truncated``: counting stopped at
    the reader's cap, so the true ``ready`` is at least this. ``oldest_age``: seconds that the oldest ready job has
    waited since it became claimable, None when nothing is ready. ``next_due``: seconds until the first delayed job is
    due, None when there is none. ``completed`` and ``failed``: totals since the queue exists, for rates.
    """

    ready: int
    in_flight: int = 0
    delayed: int = 0
    dead: int = 0
    truncated: bool = False
    oldest_age: float | None = None
    next_due: float | None = None
    completed: int = 0
    failed: int = 0

    @property
    def work(self) -> int:
        """Jobs that need a runner now: ready plus in flight."""
        return self.ready + self.in_flight


@dataclass(frozen=True, slots=True)
class Unknown:
    """The queue could not be read; ``reason`` says why in words fit for a status condition (no secrets)."""

    reason: str


Reading = Backlog | Unknown


@dataclass(frozen=True, slots=True)
class RunnerReport:
    """What one runner process told its source of itself.

    ``name``: the replica that it belongs to (its pod). ``busy``: jobs whose lease it holds now. ``slots``: jobs that it
    runs at once. ``age``: seconds since it was last seen. ``completed``, ``failed``: attempts since it started.
    ``service_seconds``: mean time of a job, None until one ended.
    """

    name: str
    slots: int
    busy: int
    age: float
    completed: int = 0
    failed: int = 0
    service_seconds: float | None = None


class BacklogReader(Protocol):
    """Reads many queues of one endpoint in one request."""

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        """One reading per asked queue; never raises for an unreachable endpoint, it says Unknown."""
        ...

    async def close(self) -> None:
        """Gives back the connection."""
        ...
