"""Jobs, slots and a recording progress sink: what tests of the pipeline share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.waiting import DEADLINE, eventually
from workerpool.errors import LeaseLost
from workerpool.handlers import Handlers
from workerpool.outcome import DeadLetter, DeadReason, Outcome
from workerpool.pipeline import Run, Services, Tracer, compile_pipeline
from workerpool.sources.base import Job
from workerpool.worker import definition_of


@dataclass
class Slot:
    """The part of a lane's slot that pipelines see, with the lane's way to cut off a job."""

    cancel_reason: str | None = None
    task: "asyncio.Task[Outcome] | None" = None

    def cut(self, reason: str) -> None:
        self.cancel_reason = reason
        assert self.task is not None
        self.task.cancel()

    def hook_begins(self) -> None:
        """No timeout runs here."""

    def hook_ends(self) -> None:
        """Nothing to end."""


@dataclass
class Sink:
    """Records progress; ``stale`` makes it answer that the lease is lost."""

    events: list[tuple[int, str, int | None, str | None]] = field(default_factory=list)
    stale: bool = False

    async def progress(self, job: Job, state: str, percent: int | None, data: str | None) -> None:
        if self.stale:
            raise LeaseLost("stale")
        self.events.append((job.id, state, percent, data))


def a_job(payload: str = '{"id": 1}', **changes: Any) -> Job:
    """A fresh job of queue ``orders``."""
    job = Job("orders", 7, 0, 0, 0, payload, None, 0.0, False, None)
    return job._replace(**changes)


@dataclass
class Bench:
    """Runs jobs through one worker's pipeline."""

    run: Run
    sink: Sink

    async def __call__(self, payload: str = '{"id": 1}', **changes: Any) -> Outcome:
        """The outcome of one job in a slot that nobody cuts off."""
        async with asyncio.timeout(DEADLINE):
            return await self.run(a_job(payload, **changes), Slot())

    async def cut(self, reason: str, started: Callable[[], Awaitable[object]], **changes: Any) -> Outcome:
        """The outcome of a job that is cut off for ``reason`` once ``started()`` returns."""
        slot = Slot()

        async def work() -> Outcome:
            return await self.run(a_job(**changes), slot)

        slot.task = asyncio.create_task(work())
        async with asyncio.timeout(DEADLINE):
            await started()
            slot.cut(reason)
            return await slot.task


@asynccontextmanager
async def bench(worker: object, *, temp_root: Path | None = None, **services: Any) -> AsyncIterator[Bench]:
    """A bench for a decorated function or a Worker class; ``services``: fields of Services that differ."""
    handlers, sink = Handlers(), Sink()
    tracer: Tracer | None = services.pop("tracer", None)
    made = Services(progress=sink, handlers=handlers, temp_root=temp_root, tracer=tracer, **services)
    try:
        yield Bench(compile_pipeline(definition_of(worker), services=made), sink)
    finally:
        handlers.close()


async def until(condition: Callable[[], object]) -> None:
    """Until ``condition()``, which a thread or another process makes true."""

    async def holds() -> bool:
        return bool(condition())

    await eventually(holds, "the condition")


def dead(outcome: Outcome) -> tuple[DeadReason, str]:
    """Reason and error of a dead letter; fails for any other outcome."""
    assert isinstance(outcome, DeadLetter), outcome
    return outcome.reason, outcome.error
