"""TestBroker: an application's workers run in memory, by the pipeline of a real runner, under a clock that tests move.

Retries, delays, expiry and timeouts follow that clock, so nothing sleeps. What is not simulated is the handler itself:
it runs for real, and a handler that sleeps or waits for the network takes the time that it takes.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final, NamedTuple, Self, Unpack

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError, WorkerPoolError
from workerpool.handlers import Handlers
from workerpool.lanes import Lane, LaneConfig
from workerpool.outcome import Interrupted
from workerpool.pipeline import Services, compile_pipeline
from workerpool.producer import Producer, use_producer
from workerpool.registry import REGISTRY, check_names, subscriptions
from workerpool.schemas import parse_json
from workerpool.sources.base import Enqueued, Job, SendOptions, Settlement
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.records import EventRecord
from workerpool.sources.memory.source import MemoryPublisher, MemorySource
from workerpool.worker import MARK, definition_of

PATIENCE: Final = 10.0
"""Real seconds that handlers get before a test is told that they hang."""

ROUND_TRIP: Final = 0.0
"""Claiming in memory takes no time, so nothing is claimed ahead."""


class StillRunning(WorkerPoolError):
    """Handlers did not come to an end in the real time allowed."""


class PendingJob(NamedTuple):
    """An unfinished job. ``state``: ready, in flight or delayed; ``due_in``: seconds on the broker's clock."""

    id: int
    queue: str
    state: str
    payload: Any
    priority: int
    attempts: int
    due_in: float


class DeadJob(NamedTuple):
    """A dead letter. ``retries``: made after the first attempt; ``reason``: as in ``workerpool.outcome.DeadReason``."""

    id: int
    queue: str
    payload: Any
    reason: str
    error: str
    worker: str
    retries: int


class TestBroker:
    """Runs an app's workers in memory. ``async with`` it; inside, ``publish`` and ``get_producer()`` go to it.

    ``app``: a module, the name of one, or workers (decorated functions, ``Worker`` classes, definitions). Raises
    ConfigError for what is no worker and for workers that can't live together.
    """

    __test__ = False  # its name looks like a test class to pytest

    def __init__(self, *app: object, patience: float = PATIENCE) -> None:
        """``patience``: real seconds that handlers may take in one run before StillRunning is raised."""
        self._definitions = _definitions(app)
        self._patience = patience
        self._now = 0.0
        self._engine = MemoryEngine(self.now)
        self._source = MemorySource(self._engine)
        self._handlers = Handlers()
        self._lanes: dict[str, Lane] = {}
        self._held: dict[int, Job] = {}
        self._finished = 0
        self.producer = Producer(MemoryPublisher(self._engine))

    async def __aenter__(self) -> Self:
        queues = subscriptions(self._definitions)
        for definition in self._definitions:
            queue = queues[definition.name].queue
            self._lanes[queue] = self._lane(definition, queue)
        self._source.on_fenced(self._fenced)
        await self._source.open(list(queues.values()), lambda: list(self._held.values()))
        use_producer(self.producer)
        return self

    async def __aexit__(self, *_: object) -> None:
        use_producer(None)
        for lane in self._lanes.values():
            lane.close()
            lane.cut_all("drain")
        await asyncio.gather(*(lane.finished() for lane in self._lanes.values()))
        await self._source.close()
        self._handlers.close()

    def now(self) -> float:
        """Seconds on the broker's clock, which starts at 0 and moves by ``advance`` alone."""
        return self._now

    async def publish(self, topic: str, payload: Any, **options: Unpack[SendOptions]) -> Enqueued:  # noqa: ANN401 - JSON
        """Sends a message; ``options`` as in ``Producer.send``. Nothing runs yet."""
        return await self.producer.send(topic, payload, **options)

    def advance(self, seconds: float) -> None:
        """Moves the clock: delayed jobs and retries become due, handlers that run too long are cut off."""
        if seconds < 0:
            raise ConfigError(f"seconds: {seconds!r} is negative; the clock only moves forward")
        self._now += seconds
        for lane in self._lanes.values():
            lane.watch()
        self._source.wake()

    async def run_until_idle(self) -> int:
        """Runs every job that is due, and whatever those publish; returns how many attempts ended.

        Delayed jobs and retries stay until ``advance``. Raises StillRunning when a handler doesn't end in real time.
        """
        before = self._finished
        try:
            async with asyncio.timeout(self._patience):
                while await self._feed():
                    await self._source.wait(self._patience)
        except TimeoutError:
            raise StillRunning(self._stuck()) from None
        return self._finished - before

    async def run_until_finished(self) -> int:
        """As ``run_until_idle``, moving the clock to each delayed job and retry until none is left."""
        attempts = await self.run_until_idle()
        while (due := self._engine.next_due()) is not None:
            self.advance(max(0.0, due - self._now))
            attempts += await self.run_until_idle()
        return attempts

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Jobs run beside the block, to advance the clock while a handler runs; at its end all are waited for."""
        task = asyncio.create_task(self.run_until_idle())
        try:
            yield
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def messages(self, topic: str) -> list[Any]:
        """The payloads that were sent to a topic so far, by tests, handlers and output topics, in order."""
        return [parse_json(it.payload) for it in self._engine.messages if it.topic == topic]

    def jobs(self, queue: str | None = None) -> list[PendingJob]:
        """The unfinished jobs, oldest first, of one queue or of all."""
        found = []
        for row in self._engine.unfinished(queue):
            due_in = max(0.0, row.available_at - self._now)
            state = "in flight" if row.token else "delayed" if due_in else "ready"
            payload = _value(row.payload)
            found.append(PendingJob(row.id, row.queue, state, payload, row.priority, row.attempts, due_in))
        return found

    def results(self, queue: str | None = None) -> list[Any]:
        """What handlers returned, in the order in which their jobs were completed; None where nothing was returned."""
        return [
            None if it.result is None else parse_json(it.result)
            for it in self._engine.history
            if it.state == "completed" and queue in (None, it.queue)
        ]

    def dead_letters(self, queue: str | None = None) -> list[DeadJob]:
        """The dead letters of one queue or of all, oldest first."""
        return [
            DeadJob(it.id, it.queue, _value(it.payload), it.reason, it.error, it.worker, it.attempts)
            for it in self._engine.dead.values()
            if queue in (None, it.queue)
        ]

    def events(self, job_id: int) -> list[EventRecord]:
        """What a handler recorded with ``ctx.update`` and its kin, oldest first."""
        return [it for it in self._engine.events if it.job_id == job_id]

    async def _feed(self) -> bool:
        """Hands what is due to the lanes; False when nothing is due and nothing runs."""
        wants = {queue: n for queue, lane in self._lanes.items() if (n := lane.want(ROUND_TRIP))}
        jobs = await self._source.claim(wants)
        for job in jobs:
            self._held[job.id] = job
            self._lanes[job.queue].offer([job])
        return bool(jobs) or any(lane.busy or lane.buffered for lane in self._lanes.values())

    def _lane(self, definition: WorkerDefinition, queue: str) -> Lane:
        services = Services(progress=self._source, handlers=self._handlers)
        config = LaneConfig(definition.name, queue, definition.concurrency, definition.timeout, self.now)
        pipeline = compile_pipeline(definition, services=services)
        return Lane(config, pipeline, self._source, self._settle, hungry=self._source.wake)

    def _settle(self, settlement: Settlement) -> None:
        if self._held.get(settlement.job.id) is settlement.job:
            del self._held[settlement.job.id]
        if not isinstance(settlement.outcome, Interrupted):
            self._finished += 1
        self._engine.settle(settlement.job.handle.boot, [settlement])
        self._source.wake()

    def _fenced(self, jobs: Sequence[Job]) -> None:
        for lane in self._lanes.values():
            lane.cut(jobs, "fenced")

    def _stuck(self) -> str:
        names = [f"{lane.config.worker} ({lane.busy} running)" for lane in self._lanes.values() if lane.busy]
        return (
            f"after {self._patience:g} real seconds handlers still run: {', '.join(names) or 'none'}; replace what "
            "they wait for, give TestBroker more patience=…, or advance the clock beside them (broker.running())"
        )


def _definitions(app: Sequence[object]) -> tuple[WorkerDefinition, ...]:
    found: dict[int, WorkerDefinition] = {}
    for part in app:
        found.update((id(definition), definition) for definition in _of(part))
    if not found:
        raise ConfigError("TestBroker needs workers: pass a module, its name, or the workers themselves")
    definitions = tuple(found.values())
    check_names(definitions)
    return definitions


def _of(part: object) -> Sequence[WorkerDefinition]:
    if isinstance(part, str):
        part = importlib.import_module(part)
    if isinstance(part, ModuleType):
        return _in_module(part)
    if isinstance(part, WorkerDefinition):
        return [part]
    if isinstance(part, list | tuple):
        return [definition for one in part for definition in _of(one)]
    return [definition_of(part)]


def _in_module(module: ModuleType) -> Sequence[WorkerDefinition]:
    """Workers declared in a module or package, and those that it imported: other tests may have declared more."""
    named = [getattr(value, MARK, None) for value in vars(module).values()]
    return [
        definition
        for definition in REGISTRY.definitions
        if f"{definition.origin.module}.".startswith(f"{module.__name__}.") or definition in named
    ]


def _value(payload: str) -> Any:  # noqa: ANN401 - JSON
    """The payload's value; the text itself when it is not JSON (a dead letter may hold anything)."""
    try:
        return parse_json(payload)
    except ValueError:
        return payload
