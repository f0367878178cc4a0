"""The platform that runs replicas as pods: one Deployment and one PodDisruptionBudget per pool, written on change.

What is there comes from `World`, so a decision costs no reading; what is written goes back into it at once, so the next
decision starts from there. The queue's own word on busy runners comes from the hub.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.backlog.watch import Look
from workerpool_operator.desired.children import Children, children
from workerpool_operator.desired.surroundings import Surroundings, Unbuildable
from workerpool_operator.desired.unchanged import unchanged
from workerpool_operator.happenings import child_repaired
from workerpool_operator.kube.api import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    POOLS,
    ApiError,
    Body,
    KubeApi,
    NotFound,
    Resource,
)
from workerpool_operator.kube.events import Recorder
from workerpool_operator.kube.objects import PoolKey, PoolRecord
from workerpool_operator.kube.owned import Sightings, obstacle, secret_versions, sized_by_operator
from workerpool_operator.kube.shrink import Shrinking, Sizes
from workerpool_operator.kube.views import size_of, stuck_of, trouble_of, views_of
from workerpool_operator.kube.world import World
from workerpool_operator.platform import Happening, PoolState, Refused
from workerpool_operator.report import status_document

logger = logging.getLogger(__name__)

# Seconds that a reading before scale-in may take.
PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Where the platform learns what is not in the cluster's objects.

    ``look``: the last reading of a pool's queue. ``refresh``: a reading that begins now. ``secret``: since
    when each Secret of a pool's runners says what it says. ``default_image``: for pools that name none.
    """

    look: Callable[[PoolKey], Look | None]
    refresh: Callable[[PoolKey], Awaitable[Look | None]]
    secret: Callable[[PoolKey], Mapping[str, Sightings | None] | None]
    default_image: str | None = None


class KubernetesPlatform:
    """Carries decisions out on a cluster."""

    def __init__(self, api: KubeApi, world: World, knowledge: Knowledge, recorder: Recorder) -> None:
        self._api = api
        self._world = world
        self._knowledge = knowledge
        self._recorder = recorder
        self._shrinking = Shrinking(api, world, self._fresh)
        self._applied: dict[tuple[Resource, PoolKey], Body] = {}
        # What was written, and the generation of what the API server made of it, where that is something else.
        self._altered: dict[tuple[Resource, PoolKey], tuple[Body, int]] = {}

    async def observe(self, pool: WorkerPool) -> PoolState:
        """The pool's pods, and the size that the operator last gave it. Raises ApiError."""
        key = key_for(pool)
        record, deployment = self._world.pool(key), await self._live(DEPLOYMENTS, key)
        if record is None or obstacle(deployment, "", record) is not None:
            return PoolState((), 0)
        look, size = self._knowledge.look(key), self._size(pool, key, deployment)
        views = views_of(self._world.pods(key), look.reports if look else None)
        state = PoolState(views, size, trouble_of(deployment, views, size), stuck_of(deployment, views, size))
        return state if look is None else replace(state, silence=look.silence)

    async def scale(self, pool: WorkerPool, replicas: int) -> None:
        """Makes the pool's objects what they should be at ``replicas``. Raises Refused and ApiError.

        When the newest reports show more busy runners than the decision knew of, fewer are taken away.
        """
        key = key_for(pool)
        record = self._world.pool(key)
        if record is None or record.deleting:
            return
        deployment = await self._live(DEPLOYMENTS, key)
        budget = await self._live(DISRUPTION_BUDGETS, key)
        for live, resource in ((deployment, DEPLOYMENTS), (budget, DISRUPTION_BUDGETS)):
            if (trouble := obstacle(live, resource.kind, record)) is not None:
                raise Refused(trouble.reason, trouble.message)
        wanted = self._children(pool, record, replicas, deployment)
        if replicas < (present := size_of(deployment)):
            allowed = await self._shrinking.prepare(pool, key, Sizes(present, replicas))
            if not self._is_current(record):  # it was changed or deleted meanwhile, and is looked at again
                return
            wanted = self._children(pool, record, allowed, deployment)
        else:
            await self._shrinking.clear(key, replicas)
        await self._bring(DEPLOYMENTS, record, wanted.deployment, deployment)
        await self._bring(DISRUPTION_BUDGETS, record, wanted.disruption_budget, budget)

    async def report(self, pool: WorkerPool, status: WorkerPoolStatus, happenings: Sequence[Happening]) -> None:
        """Writes the status into the pool, and the happenings as events. Raises ApiError."""
        await self.report_at(key_for(pool), status, happenings)

    async def report_at(self, key: PoolKey, status: WorkerPoolStatus, happenings: Sequence[Happening]) -> None:
        """The same for a pool whose spec can't be used. Without effect for one that is gone."""
        record = self._world.pool(key)
        if record is None:
            return
        reference = reference_to(record)
        body = {"metadata": dict(reference["metadata"]), "status": status_document(status)}
        try:
            written = await self._api.apply(POOLS, body, manager=names.STATUS_MANAGER, subresource="status")
        except NotFound:
            return
        self._world.put(POOLS, written)
        await self._recorder.record(reference, happenings)

    async def tell(self, key: PoolKey, happenings: Sequence[Happening]) -> None:
        """Writes happenings of a pool as events."""
        record = self._world.pool(key)
        if record is not None:
            await self._recorder.record(reference_to(record), happenings)

    async def close(self) -> None:
        """Leaves everything as it is: the pods work on without the operator."""

    def forget(self, key: PoolKey) -> None:
        """Drops what is remembered of a pool that is gone."""
        for resource in (DEPLOYMENTS, DISRUPTION_BUDGETS):
            self._applied.pop((resource, key), None)
            self._altered.pop((resource, key), None)

    async def _fresh(self, key: PoolKey) -> Look | None:
        """A reading that begins now, None when it takes too long: a database that hangs holds up no other pools."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._knowledge.refresh(key)
        except TimeoutError:
            return None

    def _is_current(self, record: PoolRecord) -> bool:
        """Whether the pool is still the one that a decision was about."""
        now = self._world.pool(record.key)
        return now is not None and not now.deleting and (now.uid, now.generation) == (record.uid, record.generation)

    def _size(self, pool: WorkerPool, key: PoolKey, deployment: Body | None) -> int:
        """The size that the operator last gave the pool, whatever somebody else made of its Deployment since.

        Without that, whoever deletes or scales a Deployment by hand would change what a pause or an outage holds.
        """
        applied = self._applied.get((DEPLOYMENTS, key))
        if applied is not None:
            return size_of(applied)
        if pool.status is None or sized_by_operator(deployment):
            return size_of(deployment)
        return pool.status.desired_replicas

    def _children(self, pool: WorkerPool, record: PoolRecord, replicas: int, deployment: Body | None) -> Children:
        last = self._applied.get((DEPLOYMENTS, record.key), deployment)
        version, seen = secret_versions(last, self._knowledge.secret(record.key))
        surroundings = Surroundings(
            uid=record.uid,
            default_image=self._knowledge.default_image,
            secret_version=version,
            secret_seen=seen,
        )
        try:
            return children(pool, replicas, surroundings)
        except Unbuildable as error:
            raise Refused(error.reason, error.message) from None

    async def _live(self, resource: Resource, key: PoolKey) -> Body | None:
        """The object as it is. Only what is not known is asked for: it may exist without the operator's label."""
        known = self._world.deployment(key) if resource is DEPLOYMENTS else self._world.budget(key)
        if known is not None:
            return known
        try:
            return await self._api.get(resource, *key)
        except NotFound:
            return None

    async def _bring(self, resource: Resource, record: PoolRecord, wanted: Body, live: Body | None) -> None:
        """Writes a child unless it is already as wanted; what somebody else changed is told."""
        key = record.key
        if live is not None and unchanged(wanted, live):
            self._applied[resource, key] = wanted
            return
        if live is not None and self._altered.get((resource, key)) == (wanted, _generation(live)):
            return
        repaired = self._applied.get((resource, key)) == wanted
        try:
            written = await self._api.apply(resource, wanted, manager=names.MANAGER)
        except ApiError as error:
            if error.passes:
                raise
            raise Refused(error.reason, f"{resource.kind} {key}: {error.message}") from None
        self._world.put(resource, written)
        self._applied[resource, key] = wanted
        self._altered.pop((resource, key), None)
        if not unchanged(wanted, written):
            # A webhook rewrites it, say. Writing again at every look would lead nowhere.
            self._altered[resource, key] = (wanted, _generation(written))
            logger.warning("The API server keeps another %s than was written", resource.kind, extra={"pool": str(key)})
        if repaired:
            await self._recorder.record(reference_to(record), [child_repaired(resource.kind, key.name)])


def _generation(body: Body) -> int:
    """Counts the changes of an object's spec."""
    found: int = body["metadata"].get("generation", 0)
    return found


def key_for(pool: WorkerPool) -> PoolKey:
    """Where a pool is."""
    return PoolKey(pool.metadata.namespace or "", pool.metadata.name)


def reference_to(record: PoolRecord) -> dict[str, Any]:
    """The least of an object that names it, its uid included: never another one of the same name."""
    metadata = {"namespace": record.key.namespace, "name": record.key.name, "uid": record.uid}
    return {"apiVersion": POOLS.api_version, "kind": POOLS.kind, "metadata": metadata}
