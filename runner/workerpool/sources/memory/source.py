"""The JobSource and the Publisher over an in-memory engine; any number of them share one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from workerpool.errors import LeaseLost, SourceUnavailable
from workerpool.sources.base import Enqueued, Job, NewJob, Settlement, Subscription
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.records import Row, Token
from workerpool.sources.wiring import Wired
from workerpool_contract.backlog import Backlog

DEFAULT_LEASE = 30.0


@dataclass(slots=True)
class MemoryPublisher:
    """Enqueues on an engine."""

    outside_transactions: ClassVar[str | None] = None
    engine: MemoryEngine

    async def enqueue(self, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """There at once, for as long as the process lives."""
        return self.engine.enqueue(queue, jobs)

    async def enqueue_chunks(self, queue: str, chunks: Iterable[Sequence[NewJob]]) -> int:
        """As ``enqueue``."""
        return sum(not it.duplicate for jobs in chunks for it in self.engine.enqueue(queue, jobs))

    async def close(self) -> None:
        """Nothing to give back."""


@dataclass(slots=True, eq=False)
class MemorySource(Wired):
    """Claims and settles on an engine. ``lease``: seconds by the engine's clock that a claim is good for.

    While the source is open its leases never run out, unless it was ``stalled`` like a runner that hangs or is cut off.
    """

    engine: MemoryEngine
    lease: float = DEFAULT_LEASE
    stalled: bool = False
    _boot: int | None = None
    _claims: int = 0
    _queues: list[str] = field(default_factory=list)
    _held: Callable[[], Sequence[Job]] = field(default=tuple)

    async def open(self, subscriptions: Sequence[Subscription], held: Callable[[], Sequence[Job]]) -> None:
        """Declares the subscriptions and begins to renew what ``held`` returns."""
        for each in subscriptions:
            self.engine.subscribe(each)
            self._queues.append(each.queue)
        self._held = held
        self._boot = self.engine.join(self)

    async def claim(self, wants: Mapping[str, int]) -> list[Job]:
        """At most ``wants[queue]`` jobs per queue, highest priority first, then oldest."""
        self._claims += 1
        return self.engine.claim(Token(self._must_boot(), self._claims), wants, self.lease)

    async def wait(self, timeout: float) -> bool:
        """Until somebody enqueued, a delayed job of these queues is due, or the timeout (True in the first two cases).

        How long a job is delayed is read off the engine's clock, once.
        """
        due = self.engine.next_due(self._queues)
        return await self._woken_or_due(timeout, None if due is None else due - self.engine.clock())

    async def settle(self, settlements: Sequence[Settlement]) -> list[Job]:
        """Carries out the outcomes; returns the jobs whose lease was lost."""
        return self.engine.settle(self._must_boot(), settlements)

    async def mark(self, job: Job) -> bool:
        """Says that a job which crashed before is about to start; False when the lease is lost."""
        row = self._row(job)
        if row is not None:
            row.marked = True
        return row is not None

    async def progress(self, job: Job, state: str, percent: int | None, data: str | None) -> None:
        """Records an event. Raises LeaseLost."""
        row = self._row(job)
        if row is None:
            raise LeaseLost(f"job {job.id} of {job.queue} belongs to another runner now")
        self.engine.progress(row, state, percent, data)

    async def backlog(self) -> dict[str, Backlog]:
        """One reading per queue of this source."""
        return {queue: self.engine.backlog(queue) for queue in self._queues}

    async def retire(self) -> None:
        """Nothing is taken ahead."""

    async def close(self) -> None:
        """Ends the renewal; leases that are left run out."""
        if self._boot is not None:
            self.engine.leave(self._boot)

    @property
    def connected(self) -> bool:
        """Whether the source is open."""
        return self._boot is not None

    @property
    def detail(self) -> str:
        """There is no server."""
        return ""

    @property
    def deaf(self) -> bool:
        """Nothing is delivered, jobs are asked for."""
        return False

    def holding(self) -> Sequence[Job]:
        """For the engine: the jobs to renew."""
        return () if self.stalled else self._held()

    def taken(self, job: Job, *, cancelled: bool) -> None:
        """For the engine: this job was cancelled, or its lease ran out and another source claimed it."""
        tell = self._on_cancelled if cancelled else self._on_fenced
        tell([held for held in self._held() if (held.id, held.handle) == (job.id, job.handle)])

    def notify(self) -> None:
        """For the engine: somebody enqueued."""
        self._woken.set()

    def _row(self, job: Job) -> Row | None:
        return self.engine.held(self._must_boot(), job)

    def _must_boot(self) -> int:
        if self._boot is None:
            raise SourceUnavailable("the source is not open; await source.open(…) first")
        return self._boot
