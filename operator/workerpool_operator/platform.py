"""The seam between deciding and doing: what a platform shows of a pool's replicas, and what it can be asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus


class ReplicaState(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    BACKOFF = "back-off"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica as the platform sees it.

    ``busy``: running jobs, None while unknown. ``slots``: jobs that it runs at once. ``completed``, ``failed``:
    attempts since it started. ``service_seconds``: mean time of a job. ``detail``: what a person should know (why it
    was restarted, how long it waits). ``vouched``: the platform says by itself that it is ready, whether or not the
    replica's own word has arrived.
    """

    name: str
    state: ReplicaState
    busy: int | None = None
    slots: int | None = None
    completed: int = 0
    failed: int = 0
    service_seconds: float | None = None
    pid: int | None = None
    detail: str = ""
    vouched: bool = False

    @property
    def draining(self) -> bool:
        """Whether it was told to stop: no capacity any more."""
        return self.state is ReplicaState.DRAINING

    @property
    def ready(self) -> bool:
        """Whether it can take jobs. One that is silent as well: nobody knows only what it does."""
        return self.vouched or self.state is ReplicaState.READY

    @property
    def unheard(self) -> bool:
        """Whether it is ready and has not said yet what it does."""
        return self.vouched and self.busy is None and not self.draining


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pool from getting its replicas: one CamelCase word for programs, and words with the cure."""

    reason: str
    message: str


class Refused(Exception):
    """The platform will not do what a pool asks for; it may later, once somebody changed something."""

    def __init__(self, reason: str, message: str) -> None:
        """``reason``: one CamelCase word. ``message``: what was refused, why, and the cure; no secrets."""
        super().__init__(message)
        self.trouble = Trouble(reason, message)


class Severity(StrEnum):
    """How bad a happening is."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a pool once: ``reason`` is one CamelCase word, ``message`` the same for people."""

    severity: Severity
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PoolState:
    """The replicas of one pool.

    ``size``: how many the platform was last told to run, where it remembers that. ``trouble``: what keeps them away.
    ``silence``: why nobody knows which of them are busy, empty otherwise.
    ``stuck``: what keeps a change of the pool from its replicas, while those of before still work.
    """

    replicas: tuple[ReplicaView, ...] = ()
    size: int | None = None
    trouble: Trouble | None = None
    stuck: Trouble | None = None
    silence: str = ""

    @property
    def wanted(self) -> int:
        """How many replicas are meant to run now, those that the platform has still to start among them."""
        return len(self.kept) if self.size is None else self.size

    @property
    def kept(self) -> tuple[ReplicaView, ...]:
        """Those that are meant to run."""
        return tuple(view for view in self.replicas if not view.draining)

    @property
    def ready(self) -> int:
        """How many of those are ready."""
        return sum(view.ready for view in self.kept)


class Platform(Protocol):
    """Runs replicas."""

    async def observe(self, pool: WorkerPool) -> PoolState:
        """How the pool's replicas are now."""
        ...

    async def scale(self, pool: WorkerPool, replicas: int) -> None:
        """Makes ``replicas`` replicas run: starts new ones or drains the least busy. Returns before that is done.

        Called at every reconciliation: it also carries out the rest of the spec, and writes only what differs. Raises
        Refused when the platform will not do it.
        """
        ...

    async def report(self, pool: WorkerPool, status: WorkerPoolStatus, happenings: Sequence[Happening]) -> None:
        """Keeps a status that is worth writing where users look for it, and tells them what happened."""
        ...

    async def close(self) -> None:
        """Drains and ends every replica."""
        ...
