"""Handlers in child processes: real children, killed for real."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.unit.runner.jobs import bench, dead, until
from workerpool.outcome import SUCCEEDED, DeadReason, Interrupted, Retry, Succeeded
from workerpool.worker import worker


@worker("orders", executor="process", concurrency=1, max_retries=0)
def describe_process(order: dict[str, Any]) -> dict[str, Any]:
    """Runs in a child."""
    return {**order, "pid": os.getpid()}


@worker("orders", executor="process", concurrency=1, max_retries=0)
async def describe_process_async(order: dict[str, Any]) -> dict[str, Any]:
    """Runs in a child, in a loop of its own."""
    await asyncio.sleep(0)
    return {"pid": os.getpid()}


@worker("orders", executor="process", concurrency=1, max_retries=0)
def misbehave(order: dict[str, Any]) -> Any:
    """Ends in the way that the job asks for."""
    match order["how"]:
        case "raise":
            raise ValueError("in the child")
        case "die":
            os._exit(3)
        case "unpicklable":
            return threading.Lock()
        case "exit":
            raise SystemExit(4)
        case _:
            return None


@worker("orders", executor="process", concurrency=1)
def hang(order: dict[str, Any]) -> None:
    """Writes its process id, then never ends."""
    Path(order["file"]).write_text(str(os.getpid()))
    threading.Event().wait()


async def test_a_process_handler_runs_in_a_child() -> None:
    async with bench(describe_process) as run:
        outcome = await run()
    assert isinstance(outcome, Succeeded)
    assert f'"pid":{os.getpid()}' not in (outcome.result or "")


async def test_an_async_handler_may_run_in_a_child() -> None:
    async with bench(describe_process_async) as run:
        assert isinstance(await run(), Succeeded)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "ValueError: in the child"),
        # With its exit code where the pool saw that; on a busy machine it may only see that the process is gone.
        ("die", "HandlerProcessDied: the handler's process"),
        ("unpicklable", "cannot pickle '_thread.lock' object"),
        ("exit", "SystemExit: 4"),
    ],
)
async def test_whatever_happens_in_a_child_is_an_ordinary_failure(how: str, words: str) -> None:
    async with bench(misbehave) as run:
        reason, text = dead(await run(f'{{"how": "{how}"}}'))
        assert reason is DeadReason.ERROR
        assert words in text
        assert await run('{"how": "return"}') is SUCCEEDED, "the next job finds a healthy child"


@pytest.mark.parametrize(("reason", "kind"), [("timeout", Retry), ("drain", Interrupted)])
async def test_a_child_that_is_cut_off_is_killed(tmp_path: Path, reason: str, kind: type[object]) -> None:
    file = tmp_path / "pid"

    async def started() -> None:
        await until(lambda: file.exists() and file.read_text())

    async with bench(hang) as run:
        outcome = await run.cut(reason, started, payload=f'{{"file": "{file}"}}')
        assert isinstance(outcome, kind)
        await until(lambda: not psutil.pid_exists(int(file.read_text())))
