"""What happened to a pool over time, as points for plots and totals for summaries."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from workerpool_contract.backlog import Backlog
from workerpool_operator.up.loop import PoolView

# A pool may run for months: past this many points, neighbours are merged two by two.
MOST_POINTS = 2000


@dataclass(frozen=True, slots=True)
class Point:
    """One moment: seconds since the start, jobs that need a runner, replicas that run (draining ones included)."""

    at: float
    backlog: int
    replicas: int


@dataclass(slots=True)
class Timeline:
    """The past of one pool, in 2000 points at most. Unknown readings repeat the last known backlog."""

    points: list[Point] = field(default_factory=list)
    first: Backlog | None = None
    last: Backlog | None = None

    def add(self, at: float, view: PoolView) -> None:
        """Adds one look, ``at`` seconds after the start; merging older points keeps their peaks."""
        if isinstance(view.reading, Backlog):
            self.first = self.first or view.reading
            self.last = view.reading
        if len(self.points) >= MOST_POINTS:
            self.points = sampled(self.points, MOST_POINTS // 2)
        work = self.last.work if self.last else 0
        self.points.append(Point(at, work, len(view.state.replicas)))

    @property
    def completed(self) -> int:
        """Jobs completed since the first reading."""
        return self.last.completed - self.first.completed if self.first and self.last else 0

    @property
    def dead(self) -> int:
        """Dead letters added since the first reading."""
        return self.last.dead - self.first.dead if self.first and self.last else 0

    @property
    def peak(self) -> int:
        """The most replicas that ran at the same time."""
        return max((point.replicas for point in self.points), default=0)

    @property
    def now(self) -> int:
        """The replicas that run now."""
        return self.points[-1].replicas if self.points else 0


def sampled(points: Sequence[Point], count: int) -> list[Point]:
    """``count`` points or fewer, evenly over the time, each the highest backlog and replica count of its slice."""
    if not points:
        return []
    start, span = points[0].at, max(points[-1].at - points[0].at, 1e-9)
    slices: dict[int, list[Point]] = {}
    for point in points:
        slices.setdefault(min(count - 1, int((point.at - start) / span * count)), []).append(point)
    merged: list[Point] = []
    for index in range(count):
        inside = slices.get(index)
        if inside:
            best = Point(inside[-1].at, max(p.backlog for p in inside), max(p.replicas for p in inside))
            merged.append(best)
        elif merged:
            merged.append(merged[-1])
    return merged
