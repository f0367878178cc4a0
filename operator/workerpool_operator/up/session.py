"""One run of `up`: pools on the local platform, from the first look to the last drained runner."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from workerpool_contract.backlog import Backlog
from workerpool_contract.environment import RunnerSettings
from workerpool_contract.spec import WorkerPool
from workerpool_operator.backlog.opening import open_reader
from workerpool_operator.backlog.reader import Reader, Signals
from workerpool_operator.backlog.watch import Endpoint, cap_for
from workerpool_operator.local.logfiles import LogFollower
from workerpool_operator.local.processes import RUNNER, Access, LocalPlatform, Surroundings
from workerpool_operator.up.loop import ManagedPool, PoolLoop, PoolView
from workerpool_operator.up.reporter import Reporter
from workerpool_operator.up.timeline import Timeline

# Seconds between two looks; decisions keep to the pools' own poll intervals.
LOOK_INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class Clocks:
    """``steady``: seconds of a clock that never jumps. ``wall``: Unix time in seconds."""

    steady: Callable[[], float]
    wall: Callable[[], float]


class Until(Enum):
    """When a session ends by itself: when it is told to; when every queue is empty; when every pool is at rest too."""

    STOPPED = auto()
    EMPTY = auto()
    REST = auto()


@dataclass(frozen=True, slots=True)
class Setup:
    """What to run. ``endpoints``: pool name -> where its queue is. ``logs``: folder for the runners' output.

    ``accesses``: pool name -> what its runners need; of a pool that isn't there, no more than its URL. ``follow``: show
    what the runners write. ``command``: what starts a runner.
    """

    pools: tuple[WorkerPool, ...]
    endpoints: Mapping[str, Endpoint]
    logs: Path
    accesses: Mapping[str, Access] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    base: RunnerSettings = field(default_factory=RunnerSettings, repr=False)
    until: Until = Until.STOPPED
    follow: bool = False
    command: tuple[str, ...] = RUNNER


class Session:
    """Runs pools until told to stop, then drains."""

    def __init__(self, setup: Setup, reporter: Reporter, clocks: Clocks) -> None:
        """Nothing is started before `run`."""
        self._setup = setup
        self._reporter = reporter
        self._steady = clocks.steady
        self._began = clocks.steady()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._follower = LogFollower(setup.logs) if setup.follow else None
        self._readers: dict[Endpoint, Reader] = {}
        accesses = {name: setup.accesses.get(name, Access(found.url)) for name, found in setup.endpoints.items()}
        surroundings = Surroundings(setup.logs, setup.environ, setup.base, accesses, setup.command)
        self._platform = LocalPlatform(surroundings, clocks.steady)
        pools = [self._managed(pool) for pool in setup.pools]
        self._loop = PoolLoop(pools, self._platform, steady=clocks.steady, wall=clocks.wall)
        self.timelines = {pool.metadata.name: Timeline() for pool in setup.pools}

    async def run(self) -> dict[str, Timeline]:
        """Works until `stop` or until the setup says that it is over; returns the past of each pool."""
        try:
            await self._until_stopped()
            await self._drained()
        finally:
            self._platform.kill()
            await self._platform.close()
            await asyncio.gather(*(reader.close() for reader in self._readers.values()))
        return self.timelines

    def stop(self) -> None:
        """Begins the drain; a second call ends the runners at once (their jobs run again later)."""
        if self._stop.is_set():
            self._platform.kill()
        else:
            self._stop.set()
        self._wake.set()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM call `stop` while inside."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _until_stopped(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            views = await self._look()
            if self._over(views):
                return
            pause = min(LOOK_INTERVAL, max(0.0, self._loop.next_due - self._steady()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _over(self, views: Sequence[PoolView]) -> bool:
        pairs = list(zip(views, self._setup.pools, strict=True))
        match self._setup.until:
            case Until.STOPPED:
                return False
            case Until.EMPTY:
                return all(is_empty(view) for view, _ in pairs)
            case Until.REST:
                return all(is_empty(view) and is_at_rest(view, pool) for view, pool in pairs)

    async def _drained(self) -> None:
        """Drains all runners, showing how it goes."""
        closing = asyncio.create_task(self._platform.close())
        said = False
        while not closing.done():
            views = await self._look(deciding=False)
            running = sum(len(view.state.replicas) for view in views)
            if running and not said:
                self._reporter.note(
                    f"Draining {running} runners; Ctrl-C again ends them now, their jobs run again later"
                )
                said = True
            await asyncio.wait({closing}, timeout=LOOK_INTERVAL)
        await closing
        await self._look(deciding=False)

    async def _look(self, *, deciding: bool = True) -> tuple[PoolView, ...]:
        views = await self._loop.tick(deciding=deciding)
        at = self._steady() - self._began
        for view in views:
            self.timelines[view.name].add(at, view)
        self._reporter.update(views, at)
        for line in self._follower.poll() if self._follower else ():
            self._reporter.note(line)
        return views

    def _managed(self, pool: WorkerPool) -> ManagedPool:
        endpoint = self._setup.endpoints[pool.metadata.name]
        if endpoint not in self._readers:
            reader = open_reader(endpoint, Signals(self._pushed, _nothing))
            reader.cap = max(cap_for(pool.spec.scaling) for pool in self._setup.pools)
            self._readers[endpoint] = reader
        return ManagedPool(pool, pool.spec.source.queue, self._readers[endpoint])

    def _pushed(self, queue: str) -> None:
        if self._loop.wake(queue):
            self._wake.set()


def _nothing() -> None:
    """A lost connection is opened again at the next look, which comes soon."""


def is_empty(view: PoolView) -> bool:
    """Nothing waits, runs or is due later. What is unknown is not empty."""
    reading = view.reading
    if not isinstance(reading, Backlog) or reading.in_flight_unknown:
        return False
    return not reading.work and reading.delayed == 0


def is_at_rest(view: PoolView, pool: WorkerPool) -> bool:
    """The pool has come down to its minimum, or to its pinned size."""
    least = pool.spec.scaling.min_replicas if pool.spec.replicas is None else pool.spec.replicas
    return len(view.state.replicas) <= least
