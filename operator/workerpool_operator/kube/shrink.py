"""Scale-in that interrupts nobody: idle pods are marked as the cheapest to delete, then the size is lowered."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from workerpool_contract import names
from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.scaling import PauseMode
from workerpool_contract.spec import WorkerPool
from workerpool_operator.backlog.watch import Look
from workerpool_operator.kube.api import PODS, ApiError, KubeApi, NotFound
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.views import views_of
from workerpool_operator.kube.world import World
from workerpool_operator.observe import maybe_busy
from workerpool_operator.platform import ReplicaView
from workerpool_operator.victims import victims

# Pods without a mark count as 0.
CHEAP = "-100"
# Writes at the same time.
AT_ONCE = 8
# Seconds until Kubernetes has surely seen a mark: its controllers hear of pods and of sizes over different watches.
NOTICED = 1.0
# Looks at most: where jobs come and go all the time the idle are others at each of them.
LOOKS = 3

logger = logging.getLogger(__name__)


class Sizes(NamedTuple):
    """Replicas: those that the pool has now, and the fewer that it is to have."""

    present: int
    wanted: int


class Shrinking:
    """Marks and unmarks pods. ``fresh``: looks at the queue of a pool now, None when it takes too long."""

    def __init__(self, api: KubeApi, world: World, fresh: Callable[[PoolKey], Awaitable[Look | None]]) -> None:
        self._api = api
        self._world = world
        self._fresh = fresh
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def prepare(self, pool: WorkerPool, key: PoolKey, sizes: Sizes) -> int:
        """Marks the pods that go when the pool shrinks, and unmarks the others; the size to set.

        Takes some seconds when marks change. Raises ApiError.
        """
        replicas = sizes.present
        for _ in range(LOOKS):
            look = await self._fresh(key)
            views = [it for it in views_of(self._world.pods(key), look.reports if look else None) if not it.draining]
            replicas = staying(pool, sizes, views, look)
            if replicas == 0:  # all of them go
                return 0
            chosen = _leaving(views, replicas)
            if not await self._mark(key, chosen, {view.name for view in views} - chosen):
                return replicas
            await asyncio.sleep(NOTICED)
        return replicas

    async def clear(self, key: PoolKey, replicas: int) -> None:
        """Unmarks pods that were to go and stayed, once no more are left than ``replicas``."""
        staying = [pod for pod in self._world.pods(key) if not pod.terminating and not pod.ended]
        if len(staying) <= replicas:
            await self._mark(key, set(), {pod.name for pod in staying})

    async def _mark(self, key: PoolKey, cheap: set[str], others: Iterable[str]) -> bool:
        """Whether a mark was changed."""
        wanted: dict[str, str | None] = {**dict.fromkeys(others), **dict.fromkeys(cheap, CHEAP)}
        # Only marks of this operator are taken away; a person's own cost stays.
        writes = [
            self._write(key.namespace, pod.name, wanted[pod.name])
            for pod in self._world.pods(key)
            if pod.name in wanted and pod.cost != wanted[pod.name] and (wanted[pod.name] or pod.cost == CHEAP)
        ]
        return any(await asyncio.gather(*writes))

    async def _write(self, namespace: str, name: str, cost: str | None) -> bool:
        body = {"metadata": {"annotations": {names.ANNOTATION_DELETION_COST: cost}}}
        try:
            async with self._limit:
                written = await self._api.merge(PODS, namespace, name, body)
        except NotFound:  # gone already: the mark has done its work
            return False
        except ApiError as error:
            if error.passes:
                raise
            # Without marks Kubernetes chooses whom to stop, and whom it stops drains.
            logger.warning(
                "Could not mark a pod for scale-in", extra={"pod": f"{namespace}/{name}", "error": str(error)}
            )
            return False
        self._world.put(PODS, written)
        return True


def staying(pool: WorkerPool, sizes: Sizes, views: Sequence[ReplicaView], look: Look | None) -> int:
    """The size to set: what is wanted, or more when more runners are busy than would stay; never more than there are.

    Nothing goes while the backlog is unknown, the last one stays while nobody knows what is in flight, and idle ones
    stay while a busy one is not ready yet. Only a size that somebody asked for in so many words, and the maximum, are
    stronger. ``views``: also of pods that a rollout has beyond the size.
    """
    if _asked_for(pool):
        return sizes.wanted
    unknown = look is None or isinstance(look.reading, Unknown)
    held = look is not None and isinstance(look.reading, Backlog) and bool(look.reading.in_flight_unknown)
    needed = sizes.present if unknown else max(int(held), sum(maybe_busy(view) for view in views))
    most = min(sizes.present, pool.spec.scaling.max_replicas)
    replicas = max(sizes.wanted, min(needed, most))
    return max(sizes.wanted, min(replicas + _passed_over(views, replicas), most))


def _leaving(views: Sequence[ReplicaView], replicas: int) -> set[str]:
    """Names of those that go at this size."""
    return set(victims(views, max(0, len(views) - replicas)))


def _passed_over(views: Sequence[ReplicaView], replicas: int) -> int:
    """How many of those that are to go would stay, since Kubernetes would end busy pods in their place.

    It ends pods that are not ready before it compares marks, and a pod may run a job before its probes have said so.
    """
    chosen = _leaving(views, replicas)
    if any(maybe_busy(view) and not view.vouched for view in views if view.name not in chosen):
        return sum(view.vouched for view in views if view.name in chosen)
    return 0


def _asked_for(pool: WorkerPool) -> bool:
    """Whether a person fixed the size."""
    pause = pool.spec.scaling.pause
    return pool.spec.replicas is not None or (pause is not None and pause.mode is PauseMode.HOLD_AT)
