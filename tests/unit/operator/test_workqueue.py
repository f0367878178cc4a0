"""The work queue: each key once, never twice at a time, again when something happened meanwhile, later after errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import eventually
from workerpool_operator.workqueue import FIRST_DELAY, LONGEST_DELAY, WorkQueue


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Handler:
    """Notes its calls; can be held, can fail, answers with ``pause``."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = False
        self.pause: float | None = None
        self.active = 0
        self.most_active = 0

    async def __call__(self, key: str) -> float | None:
        self.calls.append(key)
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await self.gate.wait()
        finally:
            self.active -= 1
        if self.failing:
            message = "broken"
            raise RuntimeError(message)
        return self.pause

    async def called(self, times: int) -> None:
        """Returns when it was called ``times`` times and none of the calls still runs."""

        async def enough() -> bool:
            return len(self.calls) >= times and (not self.active or not self.gate.is_set())

        await eventually(enough, f"call {times}, calls so far: {self.calls}")
        assert len(self.calls) == times


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def errors() -> list[tuple[str, float]]:
    return []


@pytest.fixture
def queue(clock: Clock, errors: list[tuple[str, float]]) -> WorkQueue[str]:
    return WorkQueue(steady=clock, on_error=lambda key, _error, delay: errors.append((key, delay)))


@asynccontextmanager
async def running(queue: WorkQueue[str], handler: Handler, workers: int = 2) -> AsyncIterator[None]:
    """Runs the queue inside, and closes it."""
    task = asyncio.create_task(queue.run(handler, workers))
    try:
        yield
    finally:
        queue.close()
        handler.gate.set()
        await asyncio.wait_for(task, 10)


async def advance(queue: WorkQueue[str], clock: Clock, seconds: float) -> None:
    """Moves the clock and has the dispatcher look at it."""
    clock.now += seconds
    queue.add_after(f"look, it is {clock.now}", 1e6)


async def test_a_key_added_often_is_worked_on_once(queue: WorkQueue[str]) -> None:
    handler = Handler()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert queue.depth() == 2
    async with running(queue, handler):
        await handler.called(2)
    assert handler.calls == ["a", "b"]


async def test_a_key_is_never_worked_on_by_two_workers(queue: WorkQueue[str]) -> None:
    handler = Handler()
    handler.gate.clear()
    async with running(queue, handler, workers=3):
        queue.add("a")
        await handler.called(1)
        queue.add("a")
        queue.add("b")
        await handler.called(2)
        assert handler.calls == ["a", "b"]
        handler.gate.set()
        await handler.called(3)
    assert handler.calls == ["a", "b", "a"]
    assert handler.most_active == 2


async def test_no_more_workers_than_asked_for(queue: WorkQueue[str]) -> None:
    handler = Handler()
    for number in range(10):
        queue.add(str(number))
    async with running(queue, handler, workers=2):
        await handler.called(10)
    assert handler.most_active <= 2


async def test_the_earliest_of_several_delays_holds(queue: WorkQueue[str], clock: Clock) -> None:
    handler = Handler()
    queue.add_after("a", 50)
    queue.add_after("a", 20)
    queue.add_after("a", 30)
    async with running(queue, handler):
        await advance(queue, clock, 19)
        queue.add("sign that the dispatcher looked")
        await handler.called(1)
        await advance(queue, clock, 1)
        await handler.called(2)
        await advance(queue, clock, 60)
        queue.add("again such a sign")
        await handler.called(3)
    assert handler.calls.count("a") == 1


async def test_an_answer_is_the_time_of_the_next_look(queue: WorkQueue[str], clock: Clock) -> None:
    handler = Handler()
    handler.pause = 5.0
    async with running(queue, handler):
        queue.add("a")
        await handler.called(1)
        await advance(queue, clock, 5)
        await handler.called(2)


async def test_a_look_now_covers_one_that_was_due_later(queue: WorkQueue[str], clock: Clock) -> None:
    handler = Handler()
    queue.add_after("a", 10)
    queue.add("a")
    async with running(queue, handler):
        await handler.called(1)
        await advance(queue, clock, 20)
        queue.add("b")
        await handler.called(2)
    assert handler.calls == ["a", "b"]


async def test_delays_double_per_key_until_a_run_succeeds(
    queue: WorkQueue[str], clock: Clock, errors: list[tuple[str, float]]
) -> None:
    handler = Handler()
    handler.failing = True
    async with running(queue, handler):
        queue.add("a")
        for call in range(1, 10):
            await handler.called(call)
            await eventually(lambda: _async(len(errors) == len(handler.calls)), "the error to be told")
            await advance(queue, clock, errors[-1][1])
        await handler.called(10)
        delays = [delay for _, delay in errors]
        assert delays[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
        assert delays[-1] == LONGEST_DELAY
        handler.failing = False
        await advance(queue, clock, LONGEST_DELAY)
        await handler.called(11)
        handler.failing = True
        queue.add("a")
        await handler.called(12)
        await eventually(lambda: _async(errors[-1][1] == FIRST_DELAY), "the delays to begin again")


async def test_a_failing_key_does_not_stop_another(queue: WorkQueue[str], errors: list[tuple[str, float]]) -> None:
    handler = Handler()
    handler.failing = True
    async with running(queue, handler, workers=1):
        queue.add("a")
        queue.add("b")
        await handler.called(2)
    assert [key for key, _ in errors] == ["a", "b"]


async def test_something_new_is_looked_at_without_waiting_for_the_delay(queue: WorkQueue[str]) -> None:
    handler = Handler()
    handler.failing = True
    async with running(queue, handler):
        queue.add("a")
        await handler.called(1)
        queue.add("a")
        await handler.called(2)


async def test_something_new_during_a_run_that_fails_waits_for_the_first_delay(
    queue: WorkQueue[str], clock: Clock, errors: list[tuple[str, float]]
) -> None:
    """Or a run that fails after a write, which comes back as news, is repeated without a pause."""
    handler = Handler()
    handler.failing = True
    async with running(queue, handler, workers=1):
        queue.add("a")
        await handler.called(1)
        handler.gate.clear()
        queue.add("a")
        await handler.called(2)
        queue.add("a")
        handler.gate.set()
        queue.add("b")
        await handler.called(3)
        assert handler.calls == ["a", "a", "b"]
        assert errors == [("a", FIRST_DELAY), ("a", FIRST_DELAY), ("b", FIRST_DELAY)]
        await advance(queue, clock, FIRST_DELAY)
        await eventually(lambda: _async(handler.calls.count("a") == 3), "another run for what was new")


async def test_closing_lets_runs_in_progress_finish_and_starts_no_more(queue: WorkQueue[str]) -> None:
    handler = Handler()
    handler.gate.clear()
    task = asyncio.create_task(queue.run(handler, 1))
    queue.add("a")
    await handler.called(1)
    queue.add("b")
    queue.close()
    assert not task.done()
    handler.gate.set()
    await asyncio.wait_for(task, 10)
    assert handler.calls == ["a"]
    assert handler.active == 0


async def test_a_cancellation_that_comes_together_with_a_key_is_not_lost(queue: WorkQueue[str]) -> None:
    handler = Handler()
    task = asyncio.create_task(queue.run(handler, 1))
    queue.add("sign that it runs")
    await handler.called(1)
    queue.add_after("a", 10)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=10)
    queue.close()
    assert ended == {task}


async def test_a_run_that_hangs_shows(queue: WorkQueue[str], clock: Clock) -> None:
    handler = Handler()
    handler.gate.clear()
    assert queue.longest_run() == 0
    async with running(queue, handler):
        queue.add("a")
        await handler.called(1)
        clock.now += 30
        assert queue.longest_run() == 30


async def _async(value: bool) -> bool:
    return value
