"""One runner process, put together: source, lanes, dispatcher, settler and probes; from start to the end of the drain.

The order of a drain: not ready, no further claim, hand back what did not start, let the running jobs finish within the
drain timeout, hand back the rest as interrupted, settle everything, leave.
"""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import UUID, uuid4

from workerpool.counts import QueueCounter
from workerpool.definition import WorkerDefinition
from workerpool.dispatch import Dispatcher
from workerpool.engines import EngineOptions, SourceOptions, open_publisher, open_source, require_names
from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.extension import Extension, NoExtension
from workerpool.handlers import Handlers
from workerpool.lanes import Lane, LaneConfig
from workerpool.ledger import Ledger
from workerpool.metrics import Metrics
from workerpool.pipeline import Services, Tracer, compile_pipeline
from workerpool.probe_server import ProbeServer
from workerpool.probes import Pulse, RunnerProbes, RunnerStatus
from workerpool.producer import Producer, use_producer
from workerpool.repeats import Repeats
from workerpool.selection import chosen, names
from workerpool.settler import Settler
from workerpool.sources.base import Job, JobSource, Settlement, Subscription
from workerpool_contract.environment import RunnerSettings

log = logging.getLogger("workerpool.runner")

DEFAULT_POLL = 2.0
"""Seconds: the longest interval between two looks at an idle queue."""
LAST_SECONDS = 10.0
"""How long a drain that is over may take to stop its handlers and to hand back their jobs."""
WATCH_INTERVAL = 0.05
"""Seconds between two looks at timeouts: how late a timeout may strike."""


@dataclass(slots=True)
class Runner:
    """A runner process. ``url`` must be resolved; ``clock``: monotonic seconds; ``listening`` gets the probe port.

    ``extension``: what a ready-made worker brings along.
    """

    settings: RunnerSettings
    definitions: Sequence[WorkerDefinition]
    tracer: Tracer | None = None
    clock: Callable[[], float] = time.monotonic
    boot: UUID = field(default_factory=uuid4)
    metrics: Metrics = field(default_factory=Metrics)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    listening: Callable[[int], None] = field(default=lambda _port: None)
    extension: Extension = field(default_factory=NoExtension)
    probe_port: int | None = None
    _lanes: list[Lane] = field(default_factory=list)
    _ledger: Ledger = field(init=False)
    _handlers: Handlers = field(default_factory=Handlers)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _source: JobSource | None = None
    _dispatcher: Dispatcher | None = None
    _consuming: bool = False

    def __post_init__(self) -> None:
        """Nothing connects before ``run``."""
        self._ledger = Ledger(self.metrics)

    async def run(self) -> None:
        """Works until ``stop`` (or a signal, see ``handle_signals``) and drains. Raises ConfigError, SourceError."""
        workers = chosen(self.definitions, self.settings)
        require_names(self._url, names(workers))
        self._source = source = self._open_source([definition for definition, _ in workers])
        counter = QueueCounter(source, self.clock)
        settler = Settler(source, self._settled)
        self._lanes = [self._lane(definition, queue, source, settler) for definition, queue in workers]
        dispatcher = Dispatcher(
            source,
            self._lanes,
            self.clock,
            self.settings.poll_interval or DEFAULT_POLL,
            congested=lambda: settler.congested,
            held_up=settler.held_up,
            claimed=self._claimed,
        )
        self._dispatcher = dispatcher
        pulse = Pulse(self.clock, self.metrics.loop_lag_seconds.observe)
        source.on_fenced(self._fenced)
        source.on_cancelled(self._cancelled)
        probes = self._serve_probes(pulse, counter)
        producer = Producer(open_publisher(self._url, EngineOptions.of(self.settings)), self.settings.max_payload)
        use_producer(producer)
        try:
            await self.extension.open()
            if await self._opened(source, [queue for _, queue in workers]):
                await self._work(dispatcher, settler, pulse, counter)
        finally:
            use_producer(None)
            await producer.close()
            await source.close()
            await self.extension.close()
            self._handlers.close()
            probes.close()

    async def _opened(self, source: JobSource, queues: Sequence[Subscription]) -> bool:
        """Keeps trying a server that is away: a crash loop would only come back later. False: stopped meanwhile."""
        delay, repeats = 0.1, Repeats()
        while not self._stop.is_set():
            try:
                await source.open(queues, self._ledger.held)
                # A source that is sent its jobs begins to listen when somebody waits.
                await source.wait(0)
            except SourceUnavailable as error:
                if repeats.news(str(error), self.clock()):
                    log.warning("Trying again until the server answers: %s", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._stop.wait()
                delay = min(10.0, delay * 2)
            else:
                return True
        return False

    def stop(self) -> None:
        """Begins the drain; a second call cuts the running jobs off at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT drain; a second one hurries."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def status(self) -> RunnerStatus:
        """What the probes report; callable from any thread."""
        now = self.clock()
        starts = [start for lane in self._lanes if (start := lane.oldest_start) is not None]
        busy = sum(lane.busy for lane in self._lanes)
        slots = sum(lane.config.concurrency for lane in self._lanes)
        return RunnerStatus(
            is_running=self.started.is_set(),
            queues=tuple(lane.config.queue for lane in self._lanes),
            concurrency=slots,
            busy=busy,
            buffered=sum(lane.buffered for lane in self._lanes),
            draining=self._stop.is_set(),
            connected=self._source is not None and self._source.connected,
            consuming=self._consuming,
            has_capacity=busy < slots,
            pid=os.getpid(),
            boot=str(self.boot),
            oldest_job_seconds=round(now - min(starts), 3) if starts else None,
            detail=self._source.detail if self._source is not None else "",
            deaf=self._source is not None and self._source.deaf,
        )

    async def _work(self, dispatcher: Dispatcher, settler: Settler, pulse: Pulse, counter: QueueCounter) -> None:
        settling = asyncio.create_task(settler.run(), name="settle")
        helpers = [
            asyncio.create_task(self._watch(), name="watch"),
            asyncio.create_task(self._beat(pulse, dispatcher), name="pulse"),
            asyncio.create_task(counter.run(), name="count"),
        ]
        claiming = asyncio.create_task(dispatcher.run(), name="dispatch")
        stopping = asyncio.create_task(_happened(self._stop), name="stop")
        self._consuming = True
        self.started.set()
        log.info("Runner started: %s", ", ".join(f"{it.config.worker} on {it.config.queue}" for it in self._lanes))
        try:
            await asyncio.wait({claiming, settling, stopping, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            await self._drain(dispatcher, claiming, settler)
            settler.close()
            await settling
        finally:
            self._consuming = False
            await _end([*helpers, stopping, claiming, settling])
        log.info("Runner stopped: %d completed, %d failed", self.metrics.completed, self.metrics.failed)

    async def _drain(self, dispatcher: Dispatcher, claiming: "asyncio.Task[None]", settler: Settler) -> None:
        self._stop.set()
        dispatcher.drain()
        self.extension.drain()
        for lane in self._lanes:
            lane.close()
        # A failure of its own is raised at the end: the outcomes come first.
        await asyncio.wait({claiming})
        busy = sum(lane.busy for lane in self._lanes)
        seconds = self.settings.effective_drain_timeout
        if busy:
            log.info("Draining: %d running jobs get %g s to finish", busy, seconds)
        finishing = asyncio.create_task(self._finished(settler))
        hurry = asyncio.create_task(_happened(self._hurry))
        await asyncio.wait({finishing, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for lane in self._lanes:
            lane.cut_all("drain")
        done, _ = await asyncio.wait({finishing}, timeout=LAST_SECONDS)
        await _end([hurry, finishing])
        if not done:
            raise SourceUnavailable(
                f"{len(self._ledger.held())} jobs stay leased: the queue's server did not take their outcomes in time, "
                "or their handlers did not stop; they run again when their leases end"
            )

    async def _finished(self, settler: Settler) -> None:
        await asyncio.gather(*(lane.finished() for lane in self._lanes))
        await settler.drained()

    async def _watch(self) -> None:
        while True:
            for lane in self._lanes:
                lane.watch()
            await asyncio.sleep(WATCH_INTERVAL)

    async def _beat(self, pulse: Pulse, dispatcher: Dispatcher) -> None:
        seen = dispatcher.turned

        def should_turn() -> bool:
            nonlocal seen
            if dispatcher.turned != seen:
                seen = dispatcher.turned
                pulse.turned()
            return self.status().should_turn

        await pulse.run(should_turn)

    def _lane(self, definition: WorkerDefinition, queue: Subscription, source: JobSource, settler: Settler) -> Lane:
        temp = self.settings.temp_dir
        services = Services(
            progress=source,
            handlers=self._handlers,
            max_payload=self.settings.max_payload,
            max_crashes=self.settings.max_crashes,
            temp_root=Path(temp) if temp else None,
            tracer=self.tracer,
        )
        self.metrics.add_worker(definition.name, queue.queue)
        config = LaneConfig(
            definition.name,
            queue.queue,
            definition.concurrency,
            definition.timeout,
            self.clock,
            self.settings.max_crashes,
        )
        return Lane(
            config, compile_pipeline(definition, services=services), source, settler.add, hungry=self._lane_hungry
        )

    def _lane_hungry(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.hungry()

    def _settled(self, settlements: Sequence[Settlement], stale: Sequence[Job]) -> None:
        self._ledger.settled(settlements, stale)
        self._lane_hungry()

    def _claimed(self, jobs: Sequence[Job], seconds: float) -> None:
        self._cut_off(self._ledger.claimed(jobs, seconds))

    def _fenced(self, jobs: Sequence[Job]) -> None:
        self._cut_off(self._ledger.mine(jobs))

    def _cancelled(self, jobs: Sequence[Job]) -> None:
        for job in (ours := self._ledger.cancelled(jobs)):
            log.info("Job %d of %s was cancelled; its handler is cut off", job.id, job.queue)
        for lane in self._lanes:
            lane.cut(ours, "cancelled")

    def _cut_off(self, lost: Sequence[Job]) -> None:
        # Not among them is what was handed back and came again before the source had answered: its handler is over.
        if found := sum(lane.cut(lost, "fenced") for lane in self._lanes):
            log.warning("Lost the lease of %d jobs; their handlers are cut off", found)

    def _serve_probes(self, pulse: Pulse, counter: QueueCounter) -> ProbeServer:
        probes = RunnerProbes(
            status=self.status,
            pulse=pulse,
            metrics=self.metrics,
            now=lambda: datetime.now(UTC),
            queue_counts=counter.latest,
            more_checks=self.extension.checks,
            more_metrics=self.extension.metrics_text,
        )
        server = ProbeServer(probes, self.settings.probe_host, self.settings.probe_port)
        self.probe_port = server.start()
        self.listening(self.probe_port)
        return server

    def _open_source(self, workers: Sequence[WorkerDefinition]) -> JobSource:
        timeouts = [it.timeout for it in workers]
        known = [it for it in timeouts if it is not None]
        return open_source(
            SourceOptions(
                url=self._url,
                boot=self.boot,
                name=self.settings.worker_id or self.settings.pool or "runner",
                host=socket.gethostname(),
                pid=os.getpid(),
                version=version("workerpool"),
                slots=sum(it.concurrency for it in workers),
                job_timeout=max(known) if known and len(known) == len(timeouts) else None,
                lease=self.settings.lease,
                retention=self.settings.history_retention,
                clock=self.clock,
                engine=EngineOptions.of(self.settings),
            )
        )

    @property
    def _url(self) -> str:
        url = self.settings.effective_url
        if url is None:
            raise ConfigError("url: no queue is named; set WORKERPOOL_URL=postgresql://… or amqp://…")
        return url


async def _happened(event: asyncio.Event) -> None:
    await event.wait()


async def _end(tasks: "Sequence[asyncio.Task[object]]") -> None:
    """Cancels what still runs and raises what failed on its own."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
