"""A runner process from its start to its stop, on an in-memory source."""

import asyncio

import pytest

from tests.support.waiting import eventually
from tests.unit.runner.stage import Hold, StageOf
from workerpool.errors import ConfigError
from workerpool.metrics import Status
from workerpool.producer import publish
from workerpool.runner import Runner
from workerpool.sources.base import NewJob
from workerpool.sources.memory.source import MemorySource
from workerpool.worker import worker
from workerpool_contract.environment import RunnerSettings


async def test_jobs_are_run_and_settled_until_the_stop(stage_of: StageOf) -> None:
    @worker(topic="orders")
    async def double(order: int) -> int:
        return order * 2

    async with stage_of(double) as stage:
        await stage.start()
        stage.enqueue("1", "2", "3")
        await stage.done(3)
        stage.runner.stop()
        await stage.ended()
        assert sorted(str(it.result) for it in stage.engine.history) == ["2", "4", "6"]
        assert stage.runner.metrics.completed == 3
        assert stage.source.log[-1] == "close"


async def test_a_server_that_is_away_at_the_start_is_waited_for(stage_of: StageOf) -> None:
    @worker(topic="orders")
    async def note(order: int) -> None: ...

    async with stage_of(note) as stage:
        stage.source.away = True
        starting = asyncio.create_task(stage.start())

        async def tried_twice() -> bool:
            return stage.source.log.count("open") >= 2

        await eventually(tried_twice, "a second try to open")
        assert not stage.runner.status().connected
        stage.source.away = False
        await starting
        stage.enqueue("1")
        await stage.done(1)


async def test_a_stop_ends_the_wait_for_a_server(stage_of: StageOf) -> None:
    @worker(topic="orders")
    async def note(order: int) -> None: ...

    async with stage_of(note) as stage:
        stage.source.away = True
        stage.task = asyncio.create_task(stage.runner.run())

        async def tried() -> bool:
            return "open" in stage.source.log

        await eventually(tried, "a first try to open")
        stage.runner.stop()
        await stage.ended()


async def test_a_handler_over_the_job_timeout_is_cut_off_and_retried(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow(max_retries=1), job_timeout=30.0) as stage:
        await stage.busy(hold)
        stage.clock.now += 31

        async def retried() -> bool:
            return "Retry" in stage.source.log

        await eventually(retried, "the time-out")
        [left] = stage.engine.unfinished("orders")
        assert left.attempts == 1
        assert "30 s" in (left.last_error or "")


async def test_a_hook_has_its_own_time_when_that_of_the_job_is_over(stage_of: StageOf) -> None:
    hold, finished = Hold(), asyncio.Event()

    async def after(_order: int, _result: int) -> None:
        await hold()
        finished.set()

    @worker(topic="orders", on_success=after)
    async def double(order: int) -> int:
        return order * 2

    async with stage_of(double, job_timeout=5.0) as stage:
        await stage.busy(hold)
        stage.clock.now += 6
        stage.runner._lanes[0].watch()
        await asyncio.sleep(0)
        hold.go.set()
        await stage.done(1)
        assert finished.is_set()


async def test_a_job_that_another_runner_took_is_cut_off(stage_of: StageOf) -> None:
    hold = Hold()
    async with stage_of(hold.slow()) as stage:
        await stage.busy(hold)
        stage.source.stalled = True
        stage.clock.now += 31
        other = MemorySource(stage.engine)
        await other.open([], list)
        [again] = await other.claim({"orders": 1})
        assert again.crashes == 1

        async def let_go() -> bool:
            return stage.runner.status().busy == 0

        await eventually(let_go, "the end of the handler")
        assert stage.engine.history == []


async def test_a_job_that_comes_again_before_its_hand_back_is_noted_is_no_lost_lease(
    stage_of: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()
    async with stage_of(hold.slow(concurrency=1)) as stage:
        await stage.busy(hold)
        stage.enqueue("2")
        handed_back = await stage.source.claim({"orders": 1})
        stage.runner._claimed(handed_back, 0.0)
        again = [job._replace(handle=job.handle._replace(claim=99)) for job in handed_back]
        stage.runner._claimed(again, 0.0)
        assert "lease" not in caplog.text
        assert stage.runner.status().busy == 1

        stage.runner._lanes[0].offer(again)
        stage.runner._claimed([job._replace(handle=job.handle._replace(claim=100)) for job in again], 0.0)
        assert "Lost the lease of 1 jobs; their handlers are cut off" in caplog.text


async def test_a_job_that_somebody_cancelled_is_cut_off_and_is_no_lost_lease(
    stage_of: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()
    async with stage_of(hold.slow(concurrency=1)) as stage:
        await stage.busy(hold)
        stage.enqueue("2")
        waiting = await stage.source.claim({"orders": 1})
        stage.runner._claimed(waiting, 0.0)
        stage.runner._lanes[0].offer(waiting)
        with caplog.at_level("INFO"):
            assert all(stage.engine.cancel(row.id) for row in stage.engine.unfinished("orders"))

            async def counted() -> bool:
                return stage.runner.metrics.series["slow"].counts[Status.CANCELLED] == 2

            await eventually(counted, "the end of both jobs")
        texts = [record.getMessage() for record in caplog.records]
        assert sum("cancelled" in text for text in texts) == 2
        assert not any("lease" in text for text in texts)
        metrics = stage.runner.metrics
        assert (metrics.stale_settlements, metrics.series["slow"].counts[Status.INTERRUPTED]) == (0, 0)
        assert [it.state for it in stage.engine.history] == ["cancelled", "cancelled"]


async def test_publishing_inside_a_handler_uses_the_runners_own_producer(stage_of: StageOf) -> None:
    @worker(topic="orders")
    async def forward(order: int) -> None:
        await publish("invoices", order)

    async with stage_of(forward) as stage:
        await stage.start()
        stage.enqueue("1")
        await stage.done(1)
        assert stage.engine.backlog("invoices").ready == 1


async def test_several_workers_share_a_process_fairly(stage_of: StageOf) -> None:
    @worker(topic="orders", concurrency=1)
    async def first(order: int) -> None: ...

    @worker(topic="parcels", concurrency=1)
    async def second(parcel: int) -> None: ...

    async with stage_of(first, second) as stage:
        for queue in ("orders", "parcels"):
            stage.engine.enqueue(queue, [NewJob(str(n)) for n in range(200)])
        await stage.start()
        await stage.done(100)
        share = [it.queue for it in stage.engine.history[:100]]
        assert min(share.count("orders"), share.count("parcels")) >= 20
        await stage.done(400)


async def test_a_runner_without_a_url_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="WORKERPOOL_URL"):
        await Runner(RunnerSettings(), []).run()
