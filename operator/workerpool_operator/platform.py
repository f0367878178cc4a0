"""The seam between deciding and doing: what a platform shows of a pool's replicas, and what it can be asked to do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from workerpool_contract.spec import WorkerPool


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
    was restarted, how long it waits).
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

    @property
    def draining(self) -> bool:
        """Whether it was told to stop: no capacity any more."""
        return self.state is ReplicaState.DRAINING


@dataclass(frozen=True, slots=True)
class PoolState:
    """The replicas of one pool."""

    replicas: tuple[ReplicaView, ...] = ()

    @property
    def kept(self) -> tuple[ReplicaView, ...]:
        """Those that are meant to run."""
        return tuple(view for view in self.replicas if not view.draining)

    @property
    def ready(self) -> int:
        """How many of those are ready."""
        return sum(view.state is ReplicaState.READY for view in self.kept)


class Platform(Protocol):
    """Runs replicas."""

    async def observe(self, pool: WorkerPool) -> PoolState:
        """How the pool's replicas are now."""
        ...

    async def scale(self, pool: WorkerPool, replicas: int) -> None:
        """Makes ``replicas`` replicas run: starts new ones or drains the least busy. Returns before that is done."""
        ...

    async def close(self) -> None:
        """Drains and ends every replica."""
        ...
