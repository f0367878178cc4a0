"""Which jobs this process holds, and the counting of what became of them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from workerpool.metrics import STATUS_OF, Metrics, Status
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Job, Settlement

log = logging.getLogger("workerpool.runner")


@dataclass(slots=True)
class Ledger:
    """Jobs from their claim until the source took their settlement. Written by the main loop only."""

    metrics: Metrics
    _held: dict[int, Job] = field(default_factory=dict)
    _cancelled: dict[int, Job] = field(default_factory=dict)

    def held(self) -> Sequence[Job]:
        """The jobs held now; callable from any thread."""
        return list(self._held.values())

    def mine(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of ``jobs`` that are still held under the same claim and were not cancelled."""
        held, gone = self._held, self._cancelled
        return [job for job in jobs if held.get(job.id) is job and gone.get(job.id) is not job]

    def cancelled(self, jobs: Sequence[Job]) -> list[Job]:
        """Somebody cancelled these; returns those that this process held. No lease is lost by it."""
        ours = self.mine(jobs)
        self._cancelled.update((job.id, job) for job in ours)
        return ours

    def claimed(self, jobs: Sequence[Job], seconds: float) -> list[Job]:
        """A claim was answered after ``seconds``; returns what this process held under an older claim and lost.

        A process that stood still for longer than its lease may be the one that claims its own job again.
        """
        self.metrics.claim_seconds.observe(seconds)
        if not jobs:
            return []
        held, fresh = self._held, {job.id: job for job in jobs}
        older = [] if held.keys().isdisjoint(fresh) else [held[id_] for id_ in fresh if id_ in held]
        held.update(fresh)
        self.metrics.claim_size.observe(len(jobs))
        self.metrics.wait_seconds.observe(jobs[0].waited)
        return older

    def settled(self, settlements: Sequence[Settlement], stale: Sequence[Job]) -> None:
        """The source took these; ``stale`` are those whose lease was lost before."""
        self.metrics.flush_size.observe(len(settlements))
        held = self._held
        for it in settlements:
            # The same job may have been handed back and claimed again meanwhile: that is another Job value.
            if held.get(it.job.id) is it.job:
                del held[it.job.id]
        gone = self._called_off(settlements) if self._cancelled else frozenset()
        lost = {job.id for job in stale} - gone
        if lost:
            self.metrics.stale_settlements += len(lost)
            log.warning("%d outcomes came after their lease was lost and were not recorded", len(lost))
        groups: dict[tuple[str, Status], list[float]] = {}
        for job, outcome, duration, worker in settlements:
            if outcome is SUCCEEDED and not lost and not gone:
                status = Status.COMPLETED
            elif job.id in gone:
                status = Status.CANCELLED
            else:
                status = Status.STALE if job.id in lost else STATUS_OF[type(outcome)]
            groups.setdefault((worker, status), []).append(duration)
        for (worker, status), durations in groups.items():
            self.metrics.observe_many(worker, status, durations)

    def _called_off(self, settlements: Sequence[Settlement]) -> frozenset[int]:
        """The ids of the cancelled jobs among these, which are forgotten."""
        gone = frozenset(it.job.id for it in settlements if self._cancelled.get(it.job.id) is it.job)
        for job_id in gone:
            del self._cancelled[job_id]
        return gone
