"""Sync handlers in threads: never on the loop, abandoned when their time is up."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from tests.support.waiting import DEADLINE
from tests.unit.runner.jobs import bench, dead, until
from workerpool.context import JobContext
from workerpool.errors import ConfigError, LeaseLost
from workerpool.outcome import SUCCEEDED, DeadReason, Retry, Succeeded
from workerpool.threads import Threads
from workerpool.worker import worker


async def test_a_sync_handler_runs_in_another_thread() -> None:
    @worker("orders")
    def handle(order: dict[str, Any]) -> int:
        return threading.get_ident()

    async with bench(handle) as run:
        outcome = await run()
    assert isinstance(outcome, Succeeded)
    assert int(outcome.result or 0) != threading.get_ident()


async def test_threads_are_used_again() -> None:
    @worker("orders")
    def handle(order: dict[str, Any]) -> int:
        return threading.get_ident()

    async with bench(handle) as run:
        assert len({await run() for _ in range(5)}) == 1


async def test_a_thread_sees_the_callers_context_variables() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    @worker("orders")
    def handle(order: dict[str, Any]) -> str:
        return variable.get()

    async with bench(handle) as run:
        variable.set("set")
        assert await run() == Succeeded('"set"')


async def test_an_async_handler_may_ask_for_a_thread() -> None:
    @worker("orders", executor="thread")
    async def handle(order: dict[str, Any]) -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    async with bench(handle) as run:
        outcome = await run()
    assert isinstance(outcome, Succeeded)
    assert int(outcome.result or 0) != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), StopIteration("odd")])
async def test_an_error_in_a_thread_is_an_ordinary_failure(error: BaseException) -> None:
    @worker("orders", max_retries=0)
    def handle(order: dict[str, Any]) -> None:
        raise error

    async with bench(handle) as run:
        reason, text = dead(await run())
    assert reason is DeadReason.ERROR
    assert type(error).__name__ in text
    assert " in handle" in text


async def test_an_abandoned_thread_takes_no_place_and_records_nothing_more() -> None:
    loop = asyncio.get_running_loop()
    started, let_go = asyncio.Event(), threading.Event()
    late: list[object] = []

    @worker("orders", timeout=1)
    def handle(order: dict[str, Any], ctx: JobContext) -> None:
        if ctx.attempt > 1:
            return
        loop.call_soon_threadsafe(started.set)
        let_go.wait(DEADLINE)
        late.append(ctx.cancelled)
        try:
            ctx.blocking.update("late")
        except LeaseLost as error:
            late.append(str(error))

    async with bench(handle) as run:
        assert isinstance(await run.cut("timeout", started.wait), Retry)
        assert await run(attempts=1) is SUCCEEDED, "the next job gets another thread"
        let_go.set()
        await until(lambda: len(late) == 2)
    assert late == [True, "attempt 1 of job 7 is over; stop the handler"]
    assert run.sink.events == []


async def test_a_thread_comes_back_after_it_was_abandoned() -> None:
    threads, let_go = Threads(), threading.Event()
    call = asyncio.create_task(threads.run(let_go.wait, DEADLINE))
    await until(lambda: threads.busy == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    let_go.set()
    await until(lambda: threads.busy == 0)
    assert await threads.run(threading.get_ident)
    assert threads.started == 1
    threads.close()


async def test_closing_ends_the_idle_threads() -> None:
    threads = Threads("closing")
    await threads.run(int)
    threads.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("closing")]


async def test_a_process_handler_cannot_take_a_context() -> None:
    @worker("orders", executor="process", concurrency=1)
    def handle(order: dict[str, Any], ctx: JobContext) -> None: ...

    with pytest.raises(ConfigError, match="executor='process' can't pass 'ctx' to another process"):
        async with bench(handle):
            pass
