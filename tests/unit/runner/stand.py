"""A lane, a dispatcher and a settler on an in-memory source, with a clock that the test moves."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.support.waiting import DEADLINE
from workerpool.lanes import Lane, LaneConfig, Slot
from workerpool.outcome import SUCCEEDED, Interrupted, Outcome
from workerpool.sources.base import Job, NewJob, Settlement, Subscription
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemorySource

QUEUE = "orders"
Handler = Callable[[Job, Slot], Awaitable[Outcome]]


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Gate:
    """A handler that starts jobs and ends each when told to."""

    started: list[Job] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _open: dict[int, asyncio.Event] = field(default_factory=dict)

    async def __call__(self, job: Job, slot: Slot) -> Outcome:
        self.started.append(job)
        self._news.set()
        try:
            await self._open.setdefault(job.id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.ended.append(f"{job.payload} {slot.cancel_reason}")
            return Interrupted()
        self.ended.append(job.payload)
        return SUCCEEDED

    async def running(self, count: int) -> None:
        """Until so many jobs were started."""
        async with asyncio.timeout(DEADLINE):
            while len(self.started) < count:
                self._news.clear()
                await self._news.wait()

    def release(self, *jobs: Job) -> None:
        """Lets these jobs end; all that were started when none is named."""
        for job in jobs or self.started:
            self._open.setdefault(job.id, asyncio.Event()).set()


@dataclass
class Stand:
    """One lane of ``concurrency`` slots; ``settled`` is what it settled, in order."""

    lane: Lane
    source: MemorySource
    engine: MemoryEngine
    clock: Clock
    settled: list[Settlement]
    hungry: list[float]
    _news: asyncio.Event

    async def claim(self, *payloads: str, crashes: int = 0, attempts: int = 0) -> list[Job]:
        """Enqueues and claims jobs."""
        self.engine.enqueue(QUEUE, [NewJob(payload) for payload in payloads])
        jobs = await self.source.claim({QUEUE: len(payloads)})
        return [job._replace(crashes=crashes, attempts=attempts) for job in jobs]

    async def offer(self, *payloads: str, crashes: int = 0) -> list[Job]:
        """Enqueues and claims jobs and offers them to the lane."""
        jobs = await self.claim(*payloads, crashes=crashes)
        self.lane.offer(jobs)
        return jobs

    async def settles(self, count: int) -> list[tuple[str, str]]:
        """Payload and outcome of everything settled, once it is so much."""
        async with asyncio.timeout(DEADLINE):
            while len(self.settled) < count:
                self._news.clear()
                await self._news.wait()
        return [(it.job.payload, type(it.outcome).__name__) for it in self.settled]

    async def close(self) -> None:
        """Ends the lane, cutting off what runs."""
        self.lane.close()
        self.lane.cut_all("drain")
        async with asyncio.timeout(DEADLINE):
            await self.lane.finished()


class SlowMark(MemorySource):
    """Its ``mark`` answers when the test says so."""

    def __init__(self, engine: MemoryEngine) -> None:
        super().__init__(engine)
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def mark(self, job: Job) -> bool:
        self.asked.set()
        await self.go.wait()
        return await super().mark(job)


async def a_stand(
    run: Handler,
    *,
    concurrency: int = 2,
    timeout: float | None = None,
    make_source: Callable[[MemoryEngine], MemorySource] = MemorySource,
) -> Stand:
    """A stand whose source is open on QUEUE."""
    clock, news = Clock(), asyncio.Event()
    engine = MemoryEngine(clock)
    source = make_source(engine)
    settled: list[Settlement] = []
    hungry: list[float] = []
    held: Sequence[Job] = ()
    await source.open([Subscription(QUEUE, QUEUE)], lambda: held)

    def settle(settlement: Settlement) -> None:
        settled.append(settlement)
        news.set()

    config = LaneConfig("worker", QUEUE, concurrency, timeout, clock)
    lane = Lane(config, run, source, settle, hungry=lambda: hungry.append(clock()))
    return Stand(lane, source, engine, clock, settled, hungry, news)
