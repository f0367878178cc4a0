"""A reading of a queue: how much work waits, or that nobody knows. Unknown is never zero."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backlog:
    """One reading of one queue.

    ``ready``: jobs that a runner could claim now (expired leases included). ``in_flight``: jobs under a live lease.
    ``delayed``: jobs due later (retries included), None while unknown. ``dead``: dead letters kept. ``truncated``:
    counting stopped at the reader's cap, so the true ``ready`` is at least this. ``oldest_age``: seconds that the
    oldest ready job has waited since it became claimable, None when nothing is ready or nobody can tell.
    ``next_due``: seconds until the first delayed job is due, None when there is none or nobody can tell.
    ``completed`` and ``failed``: totals since some moment that stays the same, for rates.
    ``age``: seconds that ready and in flight may lag behind the queue, 0 when it was asked itself just now.
    ``indirect``: why the queue itself can't be asked, so that somebody else's older counts stand in, with the cure.
    ``in_flight_unknown``: why nobody knows what is in flight, with the cure; then ``in_flight`` is the least of it.
    ``undeclared``: says that the queue does not exist yet, and how it comes into being; it counts as empty.
    """

    ready: int
    in_flight: int = 0
    delayed: int | None = 0
    dead: int = 0
    truncated: bool = False
    oldest_age: float | None = None
    next_due: float | None = None
    completed: int = 0
    failed: int = 0
    age: float = 0.0
    indirect: str = ""
    in_flight_unknown: str = ""
    undeclared: str = ""

    @property
    def work(self) -> int:
        """Jobs that need a runner now: ready plus in flight."""
        return self.ready + self.in_flight


@dataclass(frozen=True, slots=True)
class Unknown:
    """The queue could not be read; ``reason`` says why in words fit for a status condition (no secrets).

    ``first``: of several causes the one that matters most, for a short line; empty when there is one only.
    """

    reason: str
    first: str = field(default="", compare=False)

    @property
    def brief(self) -> str:
        """The cause in few words."""
        return self.first or self.reason


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


def by_replica(reports: Iterable[RunnerReport]) -> dict[str, RunnerReport]:
    """One report per replica, by its name: the processes of one replica added up.

    The age is that of the process seen last; the mean time of a job weighs each process by its attempts.
    """
    groups: dict[str, list[RunnerReport]] = {}
    for report in reports:
        groups.setdefault(report.name, []).append(report)
    return {name: _sum(group) for name, group in groups.items()}


def _sum(group: list[RunnerReport]) -> RunnerReport:
    timed = [(it.service_seconds, max(1, it.completed + it.failed)) for it in group if it.service_seconds is not None]
    attempts = sum(weight for _, weight in timed)
    return RunnerReport(
        name=group[0].name,
        slots=sum(it.slots for it in group),
        busy=sum(it.busy for it in group),
        age=min(it.age for it in group),
        completed=sum(it.completed for it in group),
        failed=sum(it.failed for it in group),
        service_seconds=sum(mean * weight for mean, weight in timed) / attempts if attempts else None,
    )


class BacklogReader(Protocol):
    """Reads many queues of one endpoint in one request."""

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        """One reading per asked queue; never raises for an unreachable endpoint, it says Unknown."""
        ...

    async def runners(self, queues: list[str]) -> dict[str, tuple[RunnerReport, ...]] | Unknown:
        """The processes that consume each asked queue; never raises, it says Unknown.

        Every asked queue is a key. A process of several of them is reported under each, with the same ``busy``.
        """
        ...

    async def close(self) -> None:
        """Gives back the connection."""
        ...
