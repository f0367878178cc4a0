"""A runner on an in-memory source that can be away, and handlers that wait until the test lets them go."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.support.waiting import DEADLINE, eventually
from tests.unit.runner.stand import Clock
from workerpool.definition import Handler
from workerpool.errors import SourceUnavailable
from workerpool.runner import Runner
from workerpool.sources.base import Job, NewJob, Settlement, Subscription
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemorySource
from workerpool.worker import worker


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

    async def busy(self, hold: "Hold") -> None:
        """Until the runner consumes and the handler of a first job is inside."""
        await self.start()
        self.enqueue("1")
        await hold.inside.wait()

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

    def slow(self, **options: Any) -> Handler:
        """A worker of the queue ``orders`` that waits inside and then returns "kept"."""

        @worker(topic="orders", **options)
        async def slow(order: int) -> str:
            await self()
            return "kept"

        return slow


StageOf = Callable[..., AbstractAsyncContextManager[Stage]]
