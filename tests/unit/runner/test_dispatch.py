"""The dispatcher claims what the lanes can take, rests when there is nothing, and survives a server that is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import DEADLINE
from tests.unit.runner.stand import QUEUE, Gate, Handler, Stand, a_stand
from workerpool import dispatch as module
from workerpool.dispatch import FIRST_POLL, Dispatcher
from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.lanes import Slot
from workerpool.outcome import SUCCEEDED, Outcome
from workerpool.sources.base import Job, NewJob
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemorySource


class Watched(MemorySource):
    """Writes down claims and waits; a wait takes no time unless ``sleepy``, and ``claiming`` may fail or pause."""

    def __init__(self, engine: MemoryEngine) -> None:
        super().__init__(engine)
        self.wants: list[dict[str, int]] = []
        self.pauses: list[float] = []
        self.enough = asyncio.Event()
        self.sleepy = False
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.claiming = asyncio.Event()

    async def claim(self, wants: Mapping[str, int]) -> list[Job]:
        self.wants.append(dict(wants))
        if self.failures:
            raise self.failures.pop()
        self.claiming.set()
        jobs = await super().claim(wants)
        if self.gate is not None:
            await self.gate.wait()
        return jobs

    async def wait(self, timeout: float) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) >= 15:
            self.enough.set()
        if self.sleepy or self.enough.is_set():
            await self._woken.wait()
            self._woken.clear()
            return True
        await asyncio.sleep(0)
        return False


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll intervals are exact and back-off takes one turn of the loop."""

    class Steady:
        @staticmethod
        def uniform(low: float, high: float) -> float:
            return high if low == 0.8 else 0.0

    monkeypatch.setattr(module, "random", Steady)


async def immediate(_job: Job, _slot: Slot) -> Outcome:
    return SUCCEEDED


@asynccontextmanager
async def dispatching(
    run: Handler, *, concurrency: int = 2, prepare: Callable[[Watched], None] = lambda _source: None, poll: float = 2.0
) -> AsyncIterator[tuple[Dispatcher, Stand, Watched]]:
    """A running dispatcher over one lane; drained and closed afterwards."""
    stand = await a_stand(run, concurrency=concurrency, make_source=Watched)
    source = stand.source
    assert isinstance(source, Watched)
    prepare(source)
    dispatcher = Dispatcher(source, [stand.lane], stand.clock, poll)
    stand.lane.hungry = dispatcher.hungry
    task = asyncio.create_task(dispatcher.run())
    try:
        async with asyncio.timeout(DEADLINE):
            yield dispatcher, stand, source
    finally:
        dispatcher.drain()
        if source.gate is not None:
            source.gate.set()
        async with asyncio.timeout(DEADLINE):
            await task
        await stand.close()


async def test_what_is_enqueued_is_claimed_and_run() -> None:
    async with dispatching(immediate, prepare=_sleepy) as (_, stand, _source):
        stand.engine.enqueue(QUEUE, [NewJob(str(n)) for n in range(10)])
        assert [payload for payload, _ in await stand.settles(10)] == [str(n) for n in range(10)]


async def test_no_more_is_claimed_than_the_lane_can_take() -> None:
    gate = Gate()
    async with dispatching(gate, concurrency=3) as (_, stand, source):
        stand.engine.enqueue(QUEUE, [NewJob(str(n)) for n in range(10)])
        await gate.running(3)
        assert max(want[QUEUE] for want in source.wants) == 3
        assert stand.engine.backlog(QUEUE).in_flight == 3


async def test_a_slot_that_becomes_free_is_filled() -> None:
    gate = Gate()
    async with dispatching(gate, concurrency=2) as (_, stand, _source):
        stand.engine.enqueue(QUEUE, [NewJob(str(n)) for n in range(3)])
        await gate.running(2)
        gate.release(gate.started[0])
        await gate.running(3)


async def test_an_idle_queue_is_polled_less_and_less_often_up_to_the_limit() -> None:
    async with dispatching(immediate, poll=1.0) as (_, _stand, source):
        await source.enough.wait()
        first = source.pauses[:15]
        assert first[:4] == [FIRST_POLL, 2 * FIRST_POLL, 4 * FIRST_POLL, 8 * FIRST_POLL]
        assert first[-1] == 1.0
        assert first == sorted(first)


async def test_work_makes_the_polling_quick_again() -> None:
    async with dispatching(immediate, poll=1.0) as (_, stand, source):
        await source.enough.wait()
        stand.engine.enqueue(QUEUE, [NewJob("1")])
        await stand.settles(1)
        while len(source.pauses) < 16:  # noqa: ASYNC110 - one turn of the loop, not a pause
            await asyncio.sleep(0)
        assert source.pauses[15] == FIRST_POLL


@pytest.mark.parametrize("error", [SourceUnavailable("away"), ConfigError("the password was changed")])
async def test_a_server_that_gives_no_jobs_is_asked_again(error: Exception) -> None:
    def broken(source: Watched) -> None:
        source.failures = [error] * 7

    async with dispatching(immediate, prepare=broken) as (_, stand, _source):
        stand.engine.enqueue(QUEUE, [NewJob("1")])
        assert await stand.settles(1) == [("1", "Succeeded")]


async def test_a_claim_that_is_on_its_way_when_the_drain_begins_is_handed_back() -> None:
    def gated(source: Watched) -> None:
        source.gate = asyncio.Event()
        source.engine.enqueue(QUEUE, [NewJob("1"), NewJob("2")])

    gate = Gate()
    async with dispatching(gate, prepare=gated) as (dispatcher, stand, source):
        await source.claiming.wait()
        dispatcher.drain()
        stand.lane.close()
        assert source.gate is not None
        source.gate.set()
        assert {outcome for _, outcome in await stand.settles(2)} == {"Interrupted"}
    assert gate.started == []
    assert len(source.wants) == 1


async def test_draining_ends_a_wait() -> None:
    async with dispatching(immediate, prepare=_sleepy, poll=3600.0) as (_, _stand, source):
        while not source.pauses:  # noqa: ASYNC110 - one turn of the loop, not a pause
            await asyncio.sleep(0)


@pytest.mark.parametrize("of_one_queue", [False, True], ids=["all pile up", "those of a queue are not taken"])
async def test_nothing_is_claimed_while_outcomes_wait(of_one_queue: bool) -> None:
    waiting = True
    stand = await a_stand(immediate, make_source=Watched)
    source = stand.source
    assert isinstance(source, Watched)
    dispatcher = Dispatcher(
        source,
        [stand.lane],
        stand.clock,
        congested=lambda: waiting and not of_one_queue,
        held_up=lambda queue: waiting and of_one_queue and queue == QUEUE,
    )
    stand.lane.hungry = dispatcher.hungry
    stand.engine.enqueue(QUEUE, [NewJob("1")])
    task = asyncio.create_task(dispatcher.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert source.wants == []
    waiting = False
    dispatcher.hungry()
    assert await stand.settles(1) == [("1", "Succeeded")]
    dispatcher.drain()
    async with asyncio.timeout(DEADLINE):
        await task
    await stand.close()


def _sleepy(source: Watched) -> None:
    source.sleepy = True
