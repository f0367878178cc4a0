"""The drain of a runner: what did not start goes back, what runs may finish, and no outcome is lost."""

import asyncio

import pytest

from tests.support.waiting import eventually
from tests.unit.runner.stage import Hold, StageOf
from workerpool.worker import worker


async def test_a_drain_hands_back_lets_finish_settles_and_closes_in_this_order(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow(concurrency=1)) as stage:
        await stage.busy(hold)
        stage.enqueue("2")
        stage.runner._lanes[0].offer(await stage.source.claim({"orders": 1}))
        assert (stage.runner.status().busy, stage.runner.status().buffered) == (1, 1)
        stage.runner.stop()

        async def draining() -> bool:
            return stage.source.log[-1:] == ["Interrupted"]

        await eventually(draining, "handing back what was not started")
        assert stage.runner.status().draining
        hold.go.set()
        await stage.ended()
        assert stage.source.log == ["open", "Interrupted", "Succeeded", "close"]
        [left] = stage.engine.unfinished("orders")
        assert (left.payload, left.attempts, left.crashes, left.token) == ("2", 0, 0, None)


async def test_what_runs_past_the_drain_timeout_goes_back_at_no_cost(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow(), drain_timeout=0.01) as stage:
        await stage.busy(hold)
        stage.runner.stop()
        await stage.ended()
        assert stage.source.log == ["open", "Interrupted", "close"]
        [left] = stage.engine.unfinished("orders")
        assert (left.attempts, left.crashes, left.token) == (0, 0, None)


async def test_a_second_stop_ends_the_drain_at_once(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow(), drain_timeout=3600) as stage:
        await stage.busy(hold)
        stage.runner.stop()
        await asyncio.sleep(0)
        assert stage.task is not None
        assert not stage.task.done()
        stage.runner.stop()
        await stage.ended()
        assert stage.source.log == ["open", "Interrupted", "close"]


async def test_outcomes_survive_a_server_that_is_away_during_the_drain(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow()) as stage:
        await stage.busy(hold)
        stage.source.away = True
        stage.runner.stop()
        hold.go.set()

        async def refused() -> bool:
            return stage.source.log.count("Succeeded") >= 2

        await eventually(refused, "a second try of the settlement")
        stage.source.away = False
        await stage.ended()
        assert [it.result for it in stage.engine.history] == ['"kept"']


async def test_outcomes_survive_a_claim_that_fails_for_good(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow()) as stage:
        await stage.busy(hold)
        stage.source.broken = RuntimeError("odd")
        stage.source.wake()

        async def draining() -> bool:
            return stage.runner.status().draining

        await eventually(draining, "the drain")
        hold.go.set()
        with pytest.raises(RuntimeError, match="odd"):
            await stage.ended()
        stage.task = None
        assert [it.result for it in stage.engine.history] == ['"kept"']


@pytest.mark.parametrize("late", [True, False])
async def test_a_hook_that_outlasts_the_drain_leaves_no_job_leased(stage_of: StageOf, late: bool) -> None:
    hold, hung = Hold(), Hold()

    async def hook(_order: int, _what: object) -> None:
        await hung()

    @worker(topic="orders", max_retries=0, on_success=hook, on_error=hook)
    async def handle(order: int) -> int:
        if late:
            await hold()
        return order

    async with stage_of(handle, job_timeout=5.0, drain_timeout=0.01) as stage:
        await stage.start()
        stage.enqueue("1")
        if late:
            await hold.inside.wait()
            stage.clock.now += 6
        await hung.inside.wait()
        stage.runner.stop()
        await stage.ended()
        assert stage.source.log == ["open", "DeadLetter" if late else "Succeeded", "close"]
