"""A runner process from start to the end of its drain, on an in-memory source."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.waiting import DEADLINE, eventually
from tests.unit.runner.stand import Clock
from workerpool import runner as module
from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.metrics import Status
from workerpool.producer import publish
from workerpool.runner import Runner
from workerpool.selection import chosen
from workerpool.sources.base import Job, NewJob, Settlement, Subscription
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemoryPublisher, MemorySource
from workerpool.worker import definition_of, worker
from workerpool_contract.environment import RunnerSettings


class Server(MemorySource):
    """A source that can be away; ``log`` is what the runner did to it, in order."""

    def __init__(self, engine: MemoryEngine) -> None:
        super().__init__(engine)
        self.away = False
        self.broken: Exception | None = None
        self.log: list[str] = []

    async def claim(self, wants: Mapping[str, int]) -> list[Job]:
        if self.broken is not None:
            raise self.broken
        return await super().claim(wants)

    async def open(self, subscriptions: Sequence[Subscription], held: Callable[[], Sequence[Job]]) -> None:
        self.log.append("open")
        self._refuse_when_away()
        await super().open(subscriptions, held)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Job]:
        self.log += [type(it.outcome).__name__ for it in settlements]
        self._refuse_when_away()
        return await super().settle(settlements)

    async def close(self) -> None:
        self.log.append("close")
        await super().close()

    def _refuse_when_away(self) -> None:
        if self.away:
            raise SourceUnavailable("the server is away")


@dataclass
class Stage:
    """A runner on ``source``."""

    runner: Runner
    source: Server
    clock: Clock
    task: "asyncio.Task[None] | None" = None

    @property
    def engine(self) -> MemoryEngine:
        return self.source.engine

    async def start(self) -> None:
        """Until the runner consumes."""
        self.task = asyncio.create_task(self.runner.run())
        started = asyncio.create_task(self.runner.started.wait())
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait({started, self.task}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()

    async def ended(self) -> None:
        """Until the runner is done."""
        assert self.task is not None
        async with asyncio.timeout(DEADLINE):
            await self.task

    def enqueue(self, *payloads: str) -> None:
        """Puts jobs on the queue ``orders``."""
        self.engine.enqueue("orders", [NewJob(payload) for payload in payloads])

    async def done(self, count: int) -> None:
        """Until so many jobs are in the history."""

        async def reached() -> bool:
            return len(self.engine.history) >= count

        await eventually(reached, f"the end of {count} jobs")


@dataclass
class Hold:
    """A handler's other half: it waits inside until the test lets it go."""

    inside: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.inside.set()
        await self.go.wait()


StageOf = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def stage_of(monkeypatch: pytest.MonkeyPatch) -> StageOf:
    """Makes stages whose runner is stopped at the end."""

    @asynccontextmanager
    async def make(*workers: Any, **settings: Any) -> AsyncIterator[Stage]:
        clock = Clock()
        source = Server(MemoryEngine(clock))
        monkeypatch.setattr(module, "open_source", lambda _options: source)
        monkeypatch.setattr(module, "open_publisher", lambda _url, _options: MemoryPublisher(source.engine))
        chosen_settings = RunnerSettings(url="memory://", probe_host="127.0.0.1", probe_port=0, **settings)
        runner = Runner(chosen_settings, [definition_of(it) for it in workers], clock=clock)
        stage = Stage(runner, source, clock)
        try:
            yield stage
        finally:
            runner.stop()
            runner.stop()
            if stage.task is not None:
                await stage.ended()

    return make


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


async def test_a_drain_hands_back_lets_finish_settles_and_closes_in_this_order(stage_of: StageOf) -> None:
    hold = Hold()

    @worker(topic="orders", concurrency=1)
    async def slow(order: int) -> None:
        await hold()

    async with stage_of(slow) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
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

    @worker(topic="orders")
    async def slow(order: int) -> None:
        await hold()

    async with stage_of(slow, drain_timeout=0.01) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
        stage.runner.stop()
        await stage.ended()
        assert stage.source.log == ["open", "Interrupted", "close"]
        [left] = stage.engine.unfinished("orders")
        assert (left.attempts, left.crashes, left.token) == (0, 0, None)


async def test_a_second_stop_ends_the_drain_at_once(stage_of: StageOf) -> None:
    hold = Hold()

    @worker(topic="orders")
    async def slow(order: int) -> None:
        await hold()

    async with stage_of(slow, drain_timeout=3600) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
        stage.runner.stop()
        await asyncio.sleep(0)
        assert stage.task is not None
        assert not stage.task.done()
        stage.runner.stop()
        await stage.ended()
        assert stage.source.log == ["open", "Interrupted", "close"]


async def test_outcomes_survive_a_server_that_is_away_during_the_drain(stage_of: StageOf) -> None:
    hold = Hold()

    @worker(topic="orders")
    async def slow(order: int) -> str:
        await hold()
        return "kept"

    async with stage_of(slow) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
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

    @worker(topic="orders")
    async def slow(order: int) -> str:
        await hold()
        return "kept"

    async with stage_of(slow) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
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

    @worker(topic="orders", max_retries=1)
    async def slow(order: int) -> None:
        await hold()

    async with stage_of(slow, job_timeout=30.0) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
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
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
        stage.clock.now += 6
        stage.runner._lanes[0].watch()
        await asyncio.sleep(0)
        hold.go.set()
        await stage.done(1)
        assert finished.is_set()


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


async def test_a_job_that_another_runner_took_is_cut_off(stage_of: StageOf) -> None:
    hold = Hold()

    @worker(topic="orders")
    async def slow(order: int) -> None:
        await hold()

    async with stage_of(slow) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
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


async def test_a_job_that_somebody_cancelled_is_cut_off_and_is_no_lost_lease(
    stage_of: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()

    @worker(topic="orders", concurrency=1)
    async def slow(order: int) -> None:
        await hold()

    async with stage_of(slow) as stage:
        await stage.start()
        stage.enqueue("1")
        await hold.inside.wait()
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


def _definitions() -> list[WorkerDefinition]:
    @worker(topic="orders", concurrency=2, max_retries=9)
    async def bill(order: int) -> None: ...

    @worker(topic="parcels")
    async def send(parcel: int) -> None: ...

    return [definition_of(bill), definition_of(send)]


def test_a_pool_runs_the_workers_of_its_queue() -> None:
    picked = chosen(_definitions(), RunnerSettings(queue="parcels"))
    assert [(definition.name, queue.queue) for definition, queue in picked] == [("send", "parcels")]


def test_named_workers_are_run_and_the_pools_settings_win() -> None:
    [(definition, _)] = chosen(_definitions(), RunnerSettings(workers=("bill",), concurrency=7, job_timeout=5))
    assert (definition.concurrency, definition.timeout, definition.retry.max_retries) == (7, 5, 9)


def test_without_a_choice_every_worker_runs() -> None:
    assert len(chosen(_definitions(), RunnerSettings())) == 2


def test_a_queue_that_nobody_consumes_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'nobody'.*orders, parcels"):
        chosen(_definitions(), RunnerSettings(queue="nobody"))


async def test_a_runner_without_a_url_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="WORKERPOOL_URL"):
        await Runner(RunnerSettings(), _definitions()).run()
