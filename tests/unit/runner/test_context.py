"""What handlers get from a JobContext."""

import asyncio
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runner.jobs import Bench, bench, dead
from workerpool.context import JobContext
from workerpool.errors import ConfigError
from workerpool.logs import FIELDS
from workerpool.outcome import SUCCEEDED, Completed, DeadReason, Retry, Stale, Succeeded
from workerpool.sources.base import Job
from workerpool.worker import worker


async def test_the_facts_of_a_job() -> None:
    @worker("orders", max_retries=5, name="billing")
    async def handle(order: dict[str, Any], ctx: JobContext) -> list[Any]:
        return [
            ctx.job_id,
            ctx.queue,
            ctx.worker,
            ctx.attempt,
            ctx.max_retries,
            ctx.headers,
            ctx.payload,
            ctx.cancelled,
        ]

    async with bench(handle) as run:
        assert await run(attempts=2) == Succeeded('[7,"orders","billing",3,5,{},{"id":1},false]')
        assert '{"trace":"t"}' in str(await run(headers='{"trace": "t"}'))


async def test_progress_goes_to_the_source_as_json() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        await ctx.start("begun")
        await ctx.update("parsing", 50, {"files": 2})
        await ctx.update("thinking")
        await ctx.complete("done")

    async with bench(handle) as run:
        assert await run() is SUCCEEDED
    assert run.sink.events == [
        (7, "begun", 0, None),
        (7, "parsing", 50, '{"files":2}'),
        (7, "thinking", None, None),
        (7, "done", 100, None),
    ]


async def test_sync_handlers_use_the_same_words() -> None:
    @worker("orders")
    def handle(order: dict[str, Any], ctx: JobContext) -> None:
        ctx.blocking.start("begun")
        ctx.blocking.update("parsing", 50, {"files": 2})
        ctx.blocking.complete("done", {"n": 1})

    async with bench(handle) as run:
        assert await run() == Succeeded('{"n":1}')
    assert [event[1:3] for event in run.sink.events] == [("begun", 0), ("parsing", 50), ("done", 100)]


async def test_an_async_handler_in_a_thread_reports_through_the_runners_loop() -> None:
    @worker("orders", executor="thread")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        await ctx.update("there", 1)

    async with bench(handle) as run:
        assert await run() is SUCCEEDED
    assert run.sink.events == [(7, "there", 1, None)]


async def test_a_completed_result_counts_unless_the_handler_returns_one() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> str | None:
        await ctx.complete("done", "told")
        return "returned" if order["id"] == 2 else None

    async with bench(handle) as run:
        assert await run() == Succeeded('"told"')
        assert await run('{"id": 2}') == Succeeded('"returned"')


@pytest.mark.parametrize("then", ["return", "raise"])
async def test_fail_gives_the_job_up_whatever_comes_next(then: str) -> None:
    told: list[str] = []

    @worker("orders", on_error=lambda _order, error: told.append(str(error)))
    async def handle(order: dict[str, Any], ctx: JobContext) -> str:
        await ctx.fail("no such repository", "cloning")
        await ctx.fail("second thought")
        if then == "raise":
            raise ValueError("after")
        return "ignored"

    async with bench(handle) as run:
        assert dead(await run()) == (DeadReason.TERMINAL, "TerminalError: no such repository")
    assert run.sink.events[0] == (7, "cloning", None, '{"error":"no such repository"}')
    assert told == ["no such repository"]


async def test_a_lost_lease_ends_the_attempt_without_a_settlement() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        await ctx.update("working")

    async with bench(handle) as run:
        run.sink.stale = True
        assert await run() == Stale()


async def test_a_job_settled_in_the_handlers_own_transaction_is_not_settled_again() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> str:
        ctx.settled = True
        return "already stored"

    async with bench(handle) as run:
        assert await run() == Completed()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "state is empty"),
        (("x", 101), "progress: 101 is not a whole number from 0 to 100"),
        (("x", -1), "progress: -1"),
        (("x", 0.5), "progress: 0.5"),
    ],
)
async def test_bad_progress_is_refused_by_field(arguments: tuple[Any, ...], words: str) -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        await ctx.update(*arguments)

    async with bench(handle) as run:
        outcome = await run()
    assert isinstance(outcome, Retry)
    assert words in outcome.error


async def test_blocking_calls_on_the_loop_are_refused_not_hung() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> str:
        with pytest.raises(ConfigError, match=r"write await ctx\.update"):
            ctx.blocking.update("x")
        return "refused"

    async with bench(handle) as run:
        assert await run() == Succeeded('"refused"')


@pytest.mark.parametrize("fails", [False, True])
async def test_the_temporary_folder_is_made_on_demand_and_removed(tmp_path: Path, fails: bool) -> None:
    seen: list[Path] = []

    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        seen.extend([ctx.temp_dir, ctx.temp_dir])
        (ctx.temp_dir / "file").write_text("x")
        assert entries(tmp_path) == [ctx.temp_dir]
        if fails:
            raise ValueError("half way")

    async with bench(handle, temp_root=tmp_path) as run:
        assert entries(tmp_path) == []
        await run()
    assert seen[0] == seen[1]
    assert entries(tmp_path) == []


async def test_the_temporary_folder_goes_when_the_job_is_cut_off(tmp_path: Path) -> None:
    started = asyncio.Event()

    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        (ctx.temp_dir / "file").write_text("x")
        started.set()
        await asyncio.Event().wait()

    async with bench(handle, temp_root=tmp_path) as run:
        await run.cut("drain", started.wait)
    assert entries(tmp_path) == []


async def test_log_records_name_the_job_and_the_step() -> None:
    seen: list[dict[str, object]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(dict(FIELDS.get()))

    @worker("orders")
    def handle(order: dict[str, Any], ctx: JobContext) -> None:
        ctx.logger.warning("outside")
        with ctx.step("parse"):
            logging.getLogger("shop").warning("inside")

    keep = Keep()
    logging.getLogger().addHandler(keep)
    try:
        async with bench(handle) as run:
            await run(attempts=1)
    finally:
        logging.getLogger().removeHandler(keep)
    job = {"worker": "handle", "queue": "orders", "job_id": 7, "attempt": 2}
    assert seen == [job, {**job, "step": "parse"}]
    assert FIELDS.get() == {}


def entries(folder: Path) -> list[Path]:
    """What is in a folder."""
    return list(folder.iterdir())


class Spans:
    """A tracer that writes down what it is asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def job(self, job: Job, worker: str) -> AbstractContextManager[object]:
        self.names.append(f"{worker} {job.id}")
        return nullcontext()

    def step(self, name: str) -> AbstractContextManager[object]:
        self.names.append(name)
        return nullcontext()


async def test_jobs_and_steps_become_spans_when_tracing_is_on() -> None:
    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        with ctx.step("parse"):
            pass

    @worker("orders")
    async def plain(order: dict[str, Any]) -> None: ...

    spans = Spans()
    async with bench(handle, tracer=spans) as run:
        await run()
    async with bench(plain, tracer=spans) as run:
        await run()
    assert spans.names == ["handle 7", "parse", "plain 7"]


async def test_nothing_is_recorded_after_the_attempt() -> None:
    kept: list[JobContext] = []

    @worker("orders")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        kept.append(ctx)

    async with bench(handle) as run:
        await run()
        await _refused(run, kept[0])


async def _refused(run: Bench, context: JobContext) -> None:
    with pytest.raises(Exception, match="attempt 1 of job 7 is over"):
        await context.update("late")
    with pytest.raises(Exception, match="attempt 1 of job 7 is over"):
        _ = context.temp_dir
    assert run.sink.events == []
