"""The local platform: replicas are runner processes of this machine."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from workerpool_contract.archive import archive_settings_of, archive_to_environment
from workerpool_contract.environment import RunnerSettings, settings_of, without_settings
from workerpool_contract.spec import WorkerPool, WorkerSpec
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.local.replica import Plan, Replica
from workerpool_operator.platform import Happening, PoolState
from workerpool_operator.victims import victims

RUNNER = (sys.executable, "-m", "workerpool", "run")
DEFAULT_PERIOD, DEFAULT_THRESHOLD = 10, 3
STARTUP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """What the runners of one pool need to get at what it works on.

    ``url``: of its source. ``ca_file``: certificate of a private authority, None: what the base settings say.
    ``variables``: more of their environment.
    """

    url: str = field(repr=False)
    ca_file: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all replicas share.

    ``logs``: folder of their log files. ``environ``: the parent's environment. ``base``: settings that no spec speaks
    of. ``accesses``: by the names of the pools.
    """

    logs: Path
    environ: Mapping[str, str] = field(repr=False)
    base: RunnerSettings = field(repr=False)
    accesses: Mapping[str, Access] = field(repr=False)
    command: tuple[str, ...] = RUNNER


class LocalPlatform:
    """Runs the replicas of several pools as child processes."""

    def __init__(self, surroundings: Surroundings, steady: Callable[[], float]) -> None:
        """``steady``: seconds of a clock that never jumps."""
        self._around = surroundings
        self._steady = steady
        self._pools: dict[str, dict[str, Replica]] = {}

    async def observe(self, pool: WorkerPool) -> PoolState:
        """Asks every replica of the pool; those that are gone for good are forgotten."""
        replicas = self._pools.setdefault(pool.metadata.name, {})
        for name in [name for name, replica in replicas.items() if replica.gone]:
            del replicas[name]
        return PoolState(tuple(await asyncio.gather(*(replica.look() for replica in list(replicas.values())))))

    async def scale(self, pool: WorkerPool, replicas: int) -> None:
        """Starts replicas, or drains the least busy; a drained one is no capacity any more from this moment."""
        present = self._pools.setdefault(pool.metadata.name, {})
        views = [replica.view() for replica in present.values()]
        surplus = sum(not view.draining for view in views) - replicas
        for name in victims(views, max(0, surplus)):
            present[name].stop()
        for _ in range(-surplus):
            replica = Replica(self._plan(pool, present), self._steady)
            present[replica.view().name] = replica
            replica.start()

    async def report(self, pool: WorkerPool, status: WorkerPoolStatus, happenings: Sequence[Happening]) -> None:
        """Nothing: whoever runs this platform shows every look."""

    async def close(self) -> None:
        """Drains every replica and waits for it."""
        for replica in self._all():
            replica.stop()
        await asyncio.gather(*(replica.ended() for replica in self._all()))

    def kill(self) -> None:
        """Ends every replica now; `close` then returns soon."""
        for replica in self._all():
            replica.kill()

    def _all(self) -> list[Replica]:
        return [replica for replicas in self._pools.values() for replica in replicas.values()]

    def _plan(self, pool: WorkerPool, present: Mapping[str, Replica]) -> Plan:
        name = next(name for n in count(1) if (name := f"{pool.metadata.name}-{n}") not in present)
        liveness, startup = pool.spec.probes.liveness, pool.spec.probes.startup
        silence = (liveness.period_seconds or DEFAULT_PERIOD) * (liveness.failure_threshold or DEFAULT_THRESHOLD)
        patience = (startup.period_seconds or 1) * (startup.failure_threshold or STARTUP_SECONDS)
        around, access = self._around, self._around.accesses[pool.metadata.name]
        settings = settings_of(pool.metadata.name, pool.spec, access.url, around.base)
        return Plan(
            name=name,
            command=(*around.command, *_chosen(pool.spec.worker)),
            settings=replace(settings, rabbitmq_ca_file=access.ca_file or settings.rabbitmq_ca_file),
            environ=without_settings(around.environ) | _of_archive(pool.spec.worker) | dict(access.variables),
            log=around.logs / f"{name}.log",
            silence=float(silence),
            startup=float(patience),
        )


def _chosen(worker: WorkerSpec) -> tuple[str, ...]:
    """The workers to run, as arguments; which builtin is in the settings."""
    return () if worker.builtin else (worker.names or ("--all",))


def _of_archive(worker: WorkerSpec) -> dict[str, str]:
    return archive_to_environment(archive_settings_of(worker.archive)) if worker.archive else {}
