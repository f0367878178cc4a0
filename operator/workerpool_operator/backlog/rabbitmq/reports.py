"""What the runners of a vhost told of themselves, and what follows from it. No I/O; times are any steady clock's."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from workerpool_contract import runnerreport
from workerpool_contract.backlog import RunnerReport
from workerpool_operator.backlog.rabbitmq.counts import LAG

SILENCE: Final = 30.0
"""Seconds after its last report for which a runner counts; it speaks every 10."""
WINDOW: Final = LAG + 3
"""Seconds for which it is kept how much was held at most: as long as a page of the broker may still show that."""

Report = runnerreport.RunnerReport


class Reports:
    """The last report of every runner."""

    def __init__(self) -> None:
        """Nobody has spoken."""
        self._last: dict[str, tuple[float, Report]] = {}
        self._held: dict[str, int] = {}
        self._peaks: dict[str, deque[tuple[int, int]]] = {}
        self._completed: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def take(self, report: Report, now: float) -> None:
        """Keeps a report in the place of the runner's last one; ``gone`` is its last word."""
        _, before = self._last.pop(report.boot, (now, None))
        if before is not None:
            self._completed += Counter(report.completed) - Counter(before.completed)
            self._failed += Counter(report.failed) - Counter(before.failed)
        if not report.gone:
            self._last[report.boot] = (now, report)
        self._change({} if before is None else before.held, {} if report.gone else report.held, now)

    def fresh(self, now: float) -> dict[str, list[Report]]:
        """Queue -> the reports of those who consume it or hold jobs of it; drops who fell silent."""
        for boot, (at, report) in list(self._last.items()):
            if now - at > SILENCE:
                del self._last[boot]
                self._change(report.held, {}, now)
        found: dict[str, list[Report]] = {}
        for _, report in self._last.values():
            for queue in _queues(report):
                found.setdefault(queue, []).append(report)
        return found

    def peak(self, queue: str, now: float) -> int:
        """The most that was held of ``queue`` at a time in the last seconds."""
        marks = self._peaks.get(queue, ())
        return max([self._held.get(queue, 0), *(held for second, held in marks if second >= int(now - WINDOW))])

    def runners(self, queue: str, now: float) -> tuple[RunnerReport, ...]:
        """Who consumes ``queue`` or holds jobs of it, as other sources say it too."""
        return tuple(
            RunnerReport(
                name=report.name,
                slots=report.slots,
                busy=report.busy,
                age=now - at,
                completed=sum(report.completed.values()),
                failed=sum(report.failed.values()),
                service_seconds=report.service_seconds,
            )
            for at, report in self._last.values()
            if queue in _queues(report)
        )

    def attempts(self, queue: str) -> tuple[int, int]:
        """How many attempts of ``queue`` completed and failed since the first report."""
        return self._completed[queue], self._failed[queue]

    def _change(self, old: Mapping[str, int], new: Mapping[str, int], now: float) -> None:
        second = int(now)
        for queue in {*old, *new}:
            before = self._held.get(queue, 0)
            self._held[queue] = after = max(0, before - old.get(queue, 0) + new.get(queue, 0))
            marks = self._peaks.setdefault(queue, deque(maxlen=int(WINDOW) + 1))
            # Until this second nothing changed since the last mark: what was held then was held in every one since.
            if marks and marks[-1][0] == second:
                marks[-1] = (second, max(marks[-1][1], after))
            else:
                marks.append((second, max(before, after)))


def _queues(report: Report) -> set[str]:
    return {*report.queues, *(queue for queue, held in report.held.items() if held)}
