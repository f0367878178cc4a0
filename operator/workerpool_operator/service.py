"""The operator as one thing that runs: the parts, put together, and the order in which they begin and end."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workerpool_contract.urls import without_passwords
from workerpool_operator.backlog.hub import Hub
from workerpool_operator.backlog.opening import open_reader
from workerpool_operator.controller import Clocks, Controller
from workerpool_operator.handlers import registry_for, settings_for_kopf
from workerpool_operator.health import HealthServer
from workerpool_operator.informer import informing
from workerpool_operator.kube.account import ServiceAccount
from workerpool_operator.kube.api import ApiError, Body, KubeApi, Resource
from workerpool_operator.kube.events import Recorder
from workerpool_operator.kube.guard import Guarded
from workerpool_operator.kube.lease import Candidate, Trusted, lead
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.platform import Knowledge, KubernetesPlatform
from workerpool_operator.kube.relist import Relist
from workerpool_operator.kube.secrets import Secrets
from workerpool_operator.kube.world import World
from workerpool_operator.metrics import Metrics
from workerpool_operator.settings import OperatorSettings
from workerpool_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

# Seconds without a beat of the work queue, and of one reconciliation, after which a restart is the cure.
LONGEST_SILENCE = 30.0
LONGEST_RUN = 300.0
# Seconds that reconciliations in progress get to finish when the process is told to stop.
FAREWELL = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the process runs. ``account``: of its pod, None outside of one. ``candidate``: for the Lease, if wanted."""

    api: KubeApi
    account: ServiceAccount | None
    identity: str
    candidate: Candidate | None = None


class LeadershipLost(Exception):
    """Another process may act now; this one ends, and its successor starts afresh."""


class Service:
    """One operator process."""

    def __init__(self, settings: OperatorSettings, place: Place, clocks: Clocks) -> None:
        """Wires the parts; nothing runs before `run`."""
        self._settings = settings
        self._place = place
        self._clocks = clocks
        self._trusted: Trusted = lambda: False
        self.metrics = metrics = Metrics()
        self._queue: WorkQueue[PoolKey] = WorkQueue(steady=clocks.steady, on_error=self._failed)
        metrics.queue_depth.set_function(self._queue.depth)
        self._world = World()
        add = self._queue.add
        api = Guarded(place.api, self._may_write, lambda resource: metrics.writes.labels(resource.plural).inc())
        self._hub: Hub[PoolKey] = Hub(open_reader, steady=clocks.steady, notify=add)
        self._secrets = Secrets(api, add)
        self._relist = Relist(api, self._world, settings.namespaces, add)
        knowledge = Knowledge(self._hub.look, self._hub.refresh, self._secrets.sightings, settings.runner_image)
        recorder = Recorder(api, place.identity, steady=clocks.steady, wall=self._wall)
        self._controller = Controller(
            world=self._world,
            hub=self._hub,
            secrets=self._secrets,
            platform=KubernetesPlatform(api, self._world, knowledge, recorder),
            metrics=metrics,
            clocks=clocks,
        )
        self._health = HealthServer(metrics, live=[self._is_alive], ready=[self._is_ready])

    async def run(self, stop: asyncio.Event) -> None:
        """Works until ``stop`` is set. Raises whatever ended it before: a watch that was refused, a lost Lease."""
        port = await self._health.start(self._settings.host, self._settings.port)
        logger.info("Serving health and metrics", extra={"port": port})
        try:
            if await finished_before(stop, self._relist.first()):
                logger.info("Know the cluster", extra={"pools": self._world.count()})
                await self._watch_and_work(stop)
        finally:
            await self._hub.aclose()
            await self._health.close()
        logger.info("Stopped")

    async def _watch_and_work(self, stop: asyncio.Event) -> None:
        registry = registry_for(self._told, self._place.account)
        async with informing(registry, settings_for_kopf(), self._relist.namespaces, stop.set) as watching:
            work = asyncio.create_task(self._work(), name="work")
            jobs = {
                work,
                asyncio.create_task(self._relist.run(), name="listings"),
                asyncio.create_task(self._secrets.poll(), name="secrets"),
            }
            stopping = asyncio.create_task(stop.wait(), name="stop")
            try:
                done, _ = await asyncio.wait({*jobs, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
                self._queue.close()
                await asyncio.wait({work}, timeout=FAREWELL)
            finally:
                for task in (*jobs, stopping):
                    task.cancel()
                await asyncio.gather(*jobs, stopping, return_exceptions=True)
        _raise_unless(stop, done - {stopping})

    async def _work(self) -> None:
        """Reconciles, as soon as this process may."""
        if self._place.candidate is None:
            await self._reconcile_all(lambda: True)
        else:
            wall = self._wall
            await lead(
                self._place.api, self._place.candidate, self._reconcile_all, steady=self._clocks.steady, wall=wall
            )

    async def _reconcile_all(self, trusted: Trusted) -> None:
        self._trusted = trusted
        self.metrics.leader.set(1)
        try:
            await self._queue.run(self._controller.reconcile, self._settings.workers)
        except asyncio.CancelledError:
            # What this process knows is no longer the truth: a new life starts from what the next leader wrote.
            message = "the Lease was lost"
            raise LeadershipLost(message) from None
        finally:
            self.metrics.leader.set(0)

    def _may_write(self) -> bool:
        return self._trusted()

    def _told(self, resource: Resource, kind: str | None, body: Body) -> None:
        """Takes what a watch says into the world, and has the pools looked at that it concerns."""
        change = self._world.drop if kind == "DELETED" else self._world.put
        for key in change(resource, body):
            self._queue.add(key)
        if kind is None:
            self._relist.ask()

    def _failed(self, key: PoolKey, error: Exception, delay: float) -> None:
        self.metrics.errors.inc()
        words = without_passwords(f"{type(error).__name__}: {error}")
        logger.warning("Could not reconcile; trying again in %g s", delay, extra={"pool": str(key), "error": words})
        if not isinstance(error, ApiError):
            logger.debug("Could not reconcile", exc_info=error)

    def _is_alive(self) -> str | None:
        if self._queue.longest_run() > LONGEST_RUN:
            return f"a reconciliation takes more than {LONGEST_RUN:g} s"
        silent = self._clocks.steady() - self._queue.last_beat
        if self._trusted() and silent > LONGEST_SILENCE:
            return f"the work queue has not moved for {silent:.0f} s"
        return None

    def _is_ready(self) -> str | None:
        return None if self._relist.done else "the cluster has not been listed yet"

    def _wall(self) -> datetime:
        return datetime.fromtimestamp(self._clocks.wall(), UTC)


async def finished_before(stop: asyncio.Event, first: Coroutine[Any, Any, object]) -> bool:
    """Runs ``first``; False when ``stop`` was set before it was over. Raises what ``first`` raises."""
    task, stopping = asyncio.create_task(first), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task.done() and not stop.is_set()
    finally:
        for it in (task, stopping):
            it.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


def _raise_unless(stop: asyncio.Event, ended: set["asyncio.Task[Any]"]) -> None:
    """What ended without being told to is a failure, with or without an exception of its own."""
    for task in ended:
        if not task.cancelled():
            task.result()
    if not stop.is_set():
        names = ", ".join(sorted(task.get_name() for task in ended))
        message = f"{names} ended unasked"
        raise RuntimeError(message)
