"""Totals of finished attempts that only grow, whoever counted them. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class _Queue:
    completed: int = 0
    failed: int = 0
    reported: tuple[int, int] = (0, 0)
    acked: int | None = None


class Totals:
    """Attempts per queue, since the first look."""

    def __init__(self) -> None:
        """Nothing was seen."""
        self._queues: dict[str, _Queue] = {}

    def add(self, queue: str, reported: tuple[int, int], acked: int | None, *, reporting: bool) -> tuple[int, int]:
        """The totals (completed, failed) after one more look.

        ``reported``: completed and failed by the runners' own word. ``acked``: jobs ever acknowledged, by the broker's;
        it counts while no runner is ``reporting``: other consumers are at work then.
        """
        seen = self._queues.setdefault(queue, _Queue(acked=acked))
        seen.completed += reported[0] - seen.reported[0]
        seen.failed += reported[1] - seen.reported[1]
        if not reporting and acked is not None and seen.acked is not None and reported == seen.reported:
            seen.completed += max(0, acked - seen.acked)
        seen.reported = reported
        seen.acked = seen.acked if acked is None else acked
        return seen.completed, seen.failed
