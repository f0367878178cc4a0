"""One lane per worker: a small buffer of claimed jobs and the slots that run them.

A slot is a long-lived task that takes one job after the other: a job costs no task of its own, yet runs inside a real
task, so that ``asyncio.timeout`` and cancellation work in handlers as anywhere. A slot whose handler changed a context
variable is replaced, so nothing leaks from job to job.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from workerpool.context import JobFields
from workerpool.logs import FIELDS
from workerpool.outcome import Interrupted, Outcome
from workerpool.sources.base import Job, JobSource, Settlement

TURN = 0.002
"""Seconds that a slot may keep the loop when its handlers never await."""
STUCK = 1.0
"""Seconds after which jobs that were claimed ahead and can't start here are handed back."""
LONGEST_TRIP = 0.025
"""Seconds: a claim that took longer was held up by handlers that kept the loop, no reason to hoard jobs."""
CLAIM_AHEAD = 500
"""The most jobs claimed ahead of the slots."""


@dataclass(slots=True, eq=False)
class Slot:
    """What a running job is known by to those who may cut it off; ``cancel_reason`` tells the pipeline why."""

    cancel_reason: str | None = None
    job: Job | None = None
    started: float = 0.0
    deadline: float = float("inf")
    task: "asyncio.Task[None] | None" = None
    _in_hook: bool = False

    def cut(self, reason: str) -> None:
        """Cancels the handler that runs here, once, and once more the hook that makes up for it."""
        if self.job is None or self.task is None or (self.cancel_reason is not None and not self._in_hook):
            return
        self.cancel_reason = self.cancel_reason or reason
        self._in_hook = False
        self.task.cancel()

    def hook_begins(self) -> None:
        """The handler is over and its time with it; a hook has a limit of its own."""
        self.deadline = float("inf")
        self._in_hook = True

    def hook_ends(self) -> None:
        """What follows is not cut off twice."""
        self._in_hook = False


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """``timeout``: seconds a handler may run. ``clock``: monotonic seconds. ``max_crashes``: crashes that end a job."""

    worker: str
    queue: str
    concurrency: int
    timeout: float | None
    clock: Callable[[], float]
    max_crashes: int = 3


@dataclass(slots=True, eq=False)
class Lane:
    """Buffer and slots of one worker. Everything runs in the main loop."""

    config: LaneConfig
    run: Callable[[Job, Slot], Awaitable[Outcome]]
    source: JobSource
    settle: Callable[[Settlement], None]
    hungry: Callable[[], None]
    busy: int = 0
    closing: bool = False
    _buffer: deque[Job] = field(default_factory=deque)
    _suspects: deque[Job] = field(default_factory=deque)
    _suspect_runs: bool = False
    _suspects_moved: float = 0.0
    _slots: set[Slot] = field(default_factory=set)
    _parked: "deque[asyncio.Future[None]]" = field(default_factory=deque)
    _last_start: float = 0.0
    _taken: int = 0
    _context: contextvars.Context = field(default_factory=contextvars.copy_context)
    _rate: float = 0.0
    _rate_since: float = 0.0

    @property
    def buffered(self) -> int:
        """Jobs claimed and not started."""
        return len(self._buffer) + len(self._suspects)

    @property
    def oldest_start(self) -> float | None:
        """When the longest-running job began (the lane's clock), None when idle."""
        return min((slot.started for slot in self._slots if slot.job is not None), default=None)

    def want(self, round_trip: float) -> int:
        """How many jobs to claim now: the free slots, plus what they finish while the next claim is on its way."""
        if self.closing:
            return 0
        ahead = min(CLAIM_AHEAD, int(self._rate * min(round_trip, LONGEST_TRIP) * 2))
        free = self.config.concurrency - self.busy
        # Suspects that wait for their turn must not keep the other slots idle; without a limit they would be hoarded.
        startable = 1 if self._suspects and not self._suspect_runs else 0
        in_hand = len(self._buffer) + max(startable, len(self._suspects) - self.config.concurrency)
        if in_hand > free + ahead // 2:
            return 0
        return max(0, min(CLAIM_AHEAD, free + ahead - in_hand))

    def offer(self, jobs: Sequence[Job]) -> None:
        """Takes claimed jobs. One that a further crash would end waits until no other such job runs here."""
        now = self.config.clock()
        if not self._buffer and not self.busy:
            self._rate_since, self._taken, self._last_start = now, 0, now
        for job in jobs:
            if job.crashes and self._is_last_chance(job):
                self._suspects.append(job)
                self._suspects_moved = now
            else:
                self._buffer.append(job)
        self._wake(len(jobs))

    def measure(self) -> None:
        """Updates the rate (jobs per second) at which the slots work, for ``want``."""
        now = self.config.clock()
        elapsed = now - self._rate_since
        if self._taken and elapsed > 0:
            sample = self._taken / elapsed
            self._rate += (sample - self._rate) * 0.5
        self._rate_since, self._taken = now, 0

    def watch(self) -> None:
        """Cuts off what ran over its time and hands back what can't start here; called a few times a second."""
        now = self.config.clock()
        for slot in self._slots:
            if slot.deadline < now:
                slot.cut("timeout")
        if self._buffer and now - self._last_start > STUCK:
            self._rate = 0.0
            self.hand_back()
        if self._suspect_runs and now - self._suspects_moved > STUCK:
            # The latest go: those that are kept are what the next claims get past.
            while len(self._suspects) > self.config.concurrency:
                self._give_up(self._suspects.pop())

    def hand_back(self) -> None:
        """Releases every job that was not started."""
        while self._buffer:
            self._give_up(self._buffer.popleft())
        while self._suspects and (self.closing or not self._suspect_runs):
            self._give_up(self._suspects.popleft())

    def cut(self, jobs: Sequence[Job], reason: str) -> int:
        """Stops working on these jobs: drops the waiting ones, cancels the running ones. How many of them it had."""
        gone = {(job.id, job.handle) for job in jobs}
        found = 0
        for waiting in (self._buffer, self._suspects):
            for job in [job for job in waiting if (job.id, job.handle) in gone]:
                waiting.remove(job)
                self._give_up(job)
                found += 1
        for slot in self._slots:
            if slot.job is not None and (slot.job.id, slot.job.handle) in gone:
                slot.cut(reason)
                found += 1
        return found

    def cut_all(self, reason: str) -> None:
        """Cancels every running job."""
        for slot in self._slots:
            slot.cut(reason)

    def close(self) -> None:
        """No further job starts; what was not started goes back."""
        self.closing = True
        self.hand_back()
        while self._parked:
            _release(self._parked.popleft())

    async def finished(self) -> None:
        """Until every slot has ended (after ``close``)."""
        while tasks := [slot.task for slot in self._slots if slot.task is not None]:
            await asyncio.wait(tasks)

    def _is_last_chance(self, job: Job) -> bool:
        """Whether a further crash would end this job: such run one at a time, so that it is charged to the right one.

        The others run side by side: after the loss of a runner its long jobs must not queue up behind each other.
        """
        return job.crashes >= self.config.max_crashes - 1

    def _give_up(self, job: Job) -> None:
        self.settle(Settlement(job, Interrupted(), 0.0, self.config.worker))

    def _wake(self, jobs: int) -> None:
        while jobs and self._parked:
            parked = self._parked.popleft()
            if not parked.done():
                parked.set_result(None)
                jobs -= 1
        while jobs and len(self._slots) < self.config.concurrency:
            slot = Slot()
            self._slots.add(slot)
            # Its own context: a slot may be started from one that a handler has changed.
            context, name = self._context.copy(), f"{self.config.worker} slot"
            slot.task = asyncio.create_task(self._work(slot), name=name, context=context)
            jobs -= 1

    def _next(self) -> Job | None:
        if self._suspects and not self._suspect_runs:
            return self._suspects.popleft()
        return self._buffer.popleft() if self._buffer else None

    async def _work(self, slot: Slot) -> None:
        FIELDS.set(JobFields(self.config.worker, slot))
        clean = contextvars.copy_context()
        turn = self.config.clock()
        try:
            while not self.closing:
                job = self._next()
                if job is None:
                    self.hungry()
                    await self._park()
                    turn = self.config.clock()
                    continue
                ended = await self._one(slot, job)
                # A cancellation that the handler outran would hit the next job: a task that was cut off ends too.
                if slot.cancel_reason is not None or contextvars.copy_context() != clean:
                    return
                if ended - turn > TURN:
                    self.hungry()
                    await asyncio.sleep(0)
                    turn = self.config.clock()
        finally:
            self._slots.discard(slot)
            if not self.closing and (self._buffer or self._suspects):
                self._wake(1)

    async def _one(self, slot: Slot, job: Job) -> float:
        config = self.config
        slot.started = self._last_start = started = config.clock()
        slot.cancel_reason = None
        slot.job = job
        self.busy += 1
        self._taken += 1
        try:
            if job.crashes:
                if not await self._admit(slot, job):
                    self._give_up(job)
                    return config.clock()
                slot.started = self._last_start = started = config.clock()
            if config.timeout is not None:
                slot.deadline = started + config.timeout
            outcome = await self.run(job, slot)
        except BaseException:
            self._give_up(job)
            raise
        finally:
            self.busy -= 1
            slot.job = None
            slot.deadline = float("inf")
            if job.crashes and self._is_last_chance(job):
                self._suspect_runs = False
        ended = config.clock()
        self.settle(Settlement(job, outcome, ended - started, config.worker))
        return ended

    async def _admit(self, slot: Slot, job: Job) -> bool:
        """Marks a job that crashed before, so that a further crash is charged to it and not to those that only wait.

        False: it must not start. It may be cut off meanwhile like one that runs.
        """
        if self._is_last_chance(job):
            self._suspect_runs, self._suspects_moved = True, self.config.clock()
        try:
            admitted = await self.source.mark(job)
        except asyncio.CancelledError:
            if slot.cancel_reason is None:
                raise
            return False
        except Exception:  # noqa: BLE001 - whatever the reason, a job that can't be marked must not start
            return False
        return admitted and not self.closing and slot.cancel_reason is None

    async def _park(self) -> None:
        parked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parked.append(parked)
        await parked


def _release(parked: "asyncio.Future[None]") -> None:
    if not parked.done():
        parked.set_result(None)
