"""What one process counts: plain integers and lists that the loop writes and the probe thread reads.

A job costs one `Metrics.observe` (or its share of one `observe_many`): well under half a microsecond, no lock, no
allocation. The reader copies each list before it sums it, so that a count and its buckets agree; two counters may be
one job apart, which no one can tell in a graph. Turning the numbers into text is `workerpool.exposition`'s business.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workerpool.outcome import Completed, DeadLetter, Expired, Interrupted, Outcome, Retry, Stale, Succeeded


class Status(StrEnum):
    """How an attempt ended; each attempt counts under exactly one, so their sum is the number of attempts."""

    COMPLETED = "completed"
    RETRIED = "retried"
    DEAD = "dead"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"
    STALE = "stale"
    CANCELLED = "cancelled"


STATUS_OF: Final[dict[type[Outcome], Status]] = {
    Succeeded: Status.COMPLETED,
    Retry: Status.RETRIED,
    DeadLetter: Status.DEAD,
    Expired: Status.EXPIRED,
    Interrupted: Status.INTERRUPTED,
    Stale: Status.STALE,
    Completed: Status.COMPLETED,
}
"""The status that an outcome counts under."""

DURATION_BOUNDS: Final = (
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
)
"""Upper bounds (seconds) of the buckets of job durations."""

WAIT_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds (seconds) of the buckets of waiting times and of the claim's round trip."""

SIZE_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Upper bounds (jobs) of the buckets of batch sizes."""

# A handler ran from start to end only in these: an expired or interrupted job says nothing about service time.
_TIMED: Final = frozenset({Status.COMPLETED, Status.RETRIED, Status.DEAD})

_SMOOTHING: Final = 0.05


class Histogram:
    """Counts per bucket plus the sum of what was observed. ``counts`` has one more place than ``bounds``, for +Inf."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts ``value`` in the first bucket whose bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class WorkerSeries:
    """The counters of one worker on one queue."""

    __slots__ = ("counts", "duration", "queue", "worker")

    def __init__(self, worker: str, queue: str) -> None:
        self.worker = worker
        self.queue = queue
        self.counts: dict[Status, int] = dict.fromkeys(Status, 0)
        self.duration = Histogram(DURATION_BOUNDS)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true now, asked for when somebody looks: jobs running, jobs claimed but not started, draining or not."""

    busy: int = 0
    buffered: int = 0
    concurrency: int = 0
    draining: bool = False
    connected: bool = True


class Metrics:
    """All counters of this process. Written by the event loop's thread only."""

    def __init__(self) -> None:
        self.series: dict[str, WorkerSeries] = {}
        self.claim_seconds = Histogram(WAIT_BOUNDS)
        self.wait_seconds = Histogram(WAIT_BOUNDS)
        self.claim_size = Histogram(SIZE_BOUNDS)
        self.flush_size = Histogram(SIZE_BOUNDS)
        self.loop_lag_seconds = Histogram(WAIT_BOUNDS)
        self.stale_settlements = 0
        self._service: float | None = None

    def add_worker(self, worker: str, queue: str) -> None:
        """Declares a worker, so that its counters exist at zero before its first job; again is harmless."""
        self.series.setdefault(worker, WorkerSeries(worker, queue))

    def observe(self, worker: str, status: Status, duration: float) -> None:
        """Counts one attempt of ``worker``, which took ``duration`` seconds. KeyError unless the worker was added."""
        series = self.series[worker]
        series.counts[status] += 1
        if status in _TIMED:
            histogram = series.duration
            histogram.counts[bisect_left(DURATION_BOUNDS, duration)] += 1
            histogram.total += duration
            service = self._service
            self._service = duration if service is None else service + (duration - service) * _SMOOTHING

    def observe_many(self, worker: str, status: Status, durations: Sequence[float]) -> None:
        """Counts a batch of attempts that ended alike; cheaper per job than `observe`."""
        if not durations:
            return
        series = self.series[worker]
        series.counts[status] += len(durations)
        if status not in _TIMED:
            return
        counts = series.duration.counts
        for duration in durations:
            counts[bisect_left(DURATION_BOUNDS, duration)] += 1
        total = sum(durations)
        series.duration.total += total
        self._blend(total / len(durations), len(durations))

    def _blend(self, mean: float, weight: int) -> None:
        """Moves the service time towards ``mean`` as ``weight`` single observations of it would."""
        if self._service is None:
            self._service = mean
        else:
            self._service += (mean - self._service) * (1.0 - (1.0 - _SMOOTHING) ** weight)

    @property
    def service_seconds(self) -> float | None:
        """Mean time of a handler (seconds, moving average over about the last twenty jobs), None before the first."""
        return self._service

    @property
    def completed(self) -> int:
        """Jobs that succeeded in this process."""
        return sum(series.counts[Status.COMPLETED] for series in self.series.values())

    @property
    def failed(self) -> int:
        """Attempts that failed in this process: those retried and those that became dead letters."""
        return sum(series.counts[Status.RETRIED] + series.counts[Status.DEAD] for series in self.series.values())
