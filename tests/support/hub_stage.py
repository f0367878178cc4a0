"""A hub in virtual time, on readers that answer as a test says."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.virtual_time import VirtualLoop, run, until
from workerpool_contract.backlog import Backlog, Reading, RunnerReport, Unknown
from workerpool_operator.backlog.hub import Hub
from workerpool_operator.backlog.reader import Reader, Signals
from workerpool_operator.backlog.watch import Endpoint, Watch

HERE, THERE = Endpoint("postgresql://u:one@db/q"), Endpoint("postgresql://u:two@db/q")


@dataclass
class Book:
    """A reader that answers as a test says and writes down what it was asked, with the time."""

    signals: Signals
    takes: float = 0.0
    cap: int = 0
    answers: dict[str, Reading] = field(default_factory=dict)
    asked: list[tuple[float, list[str]]] = field(default_factory=list)
    reported: list[list[str]] = field(default_factory=list)
    runners_of: dict[str, tuple[RunnerReport, ...]] | Unknown = field(default_factory=dict)
    closed: float | None = None

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        """One answer per queue."""
        now = asyncio.get_running_loop().time()
        self.asked.append((now, queues))
        await until(now + self.takes)
        return {queue: self.answers.get(queue, Backlog(0)) for queue in queues}

    async def runners(self, queues: list[str]) -> dict[str, tuple[RunnerReport, ...]] | Unknown:
        """The reports of the test."""
        self.reported.append(queues)
        if isinstance(self.runners_of, Unknown):
            return self.runners_of
        return {queue: self.runners_of.get(queue, ()) for queue in queues}

    async def close(self) -> None:
        """Writes down when."""
        self.closed = asyncio.get_running_loop().time()

    @property
    def times(self) -> list[float]:
        """When it was asked."""
        return [at for at, _ in self.asked]


@dataclass
class Stage:
    """A hub, its readers in the order in which they were opened, and who was told when.

    Telling those in ``broken`` raises ValueError.
    """

    loop: VirtualLoop
    takes: float = 0.0
    books: list[Book] = field(default_factory=list)
    told: list[tuple[float, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    hub: Hub[str] = field(init=False)

    def __post_init__(self) -> None:
        self.hub = Hub(self._open, steady=self.loop.time, notify=self._tell)

    def _tell(self, key: str) -> None:
        if key in self.broken:
            message = f"nobody may tell {key}"
            raise ValueError(message)
        self.told.append((self.loop.now, key))

    def _open(self, _: Endpoint, signals: Signals) -> Reader:
        self.books.append(Book(signals, takes=self.takes))
        return self.books[-1]

    def when_told(self, key: str) -> list[float]:
        """The times at which ``key`` was told."""
        return [at for at, name in self.told if name == key]


def play(scenario: Callable[[Stage], Awaitable[None]], **setting: Any) -> Stage:
    """Plays a scenario and closes the hub."""

    async def whole(loop: VirtualLoop) -> Stage:
        stage = Stage(loop, **setting)
        await scenario(stage)
        await stage.hub.aclose()
        return stage

    return run(whole)


def watch(queue: str = "q", interval: float = 5, *, endpoint: Endpoint = HERE, **more: Any) -> Watch:
    """A watch, awake unless told otherwise."""
    return Watch(endpoint, queue, interval, **{"cap": 100, **more})
