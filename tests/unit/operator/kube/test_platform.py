"""What the platform writes, and what it makes of an API server that refuses, alters, or is away."""

import asyncio
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from tests.support.pools import UID, pool
from tests.support.virtual_time import VirtualLoop, run
from workerpool_contract import names
from workerpool_contract.backlog import Backlog, RunnerReport
from workerpool_contract.spec import WorkerPool
from workerpool_operator.backlog.watch import Look
from workerpool_operator.kube.api import (
    DEPLOYMENTS,
    PODS,
    POOLS,
    ApiError,
    Body,
    Forbidden,
    KubeApi,
    NotFound,
    Resource,
    Unreachable,
)
from workerpool_operator.kube.events import Recorder
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.platform import PATIENCE, Knowledge, KubernetesPlatform, key_for
from workerpool_operator.kube.shrink import LOOKS, NOTICED
from workerpool_operator.kube.world import World
from workerpool_operator.platform import Refused

Write = tuple[str, str]


@dataclass
class Api:
    """An API server with nothing in it, that keeps another image than was written."""

    trouble: dict[Resource, ApiError] = field(default_factory=dict)
    image: str | None = None
    writes: list[Write] = field(default_factory=list)
    generation: int = 1
    version: int = 100

    async def get(self, _: Resource, __: str, name: str) -> Body:
        """Nothing is there that no watch told."""
        raise NotFound(404, "NotFound", name)

    async def apply(self, resource: Resource, body: Body, *, manager: str, subresource: str | None = None) -> Body:
        """Stores it."""
        assert manager.startswith(names.MANAGER)
        self._write("apply", f"{resource.kind}/{subresource}" if subresource else resource.kind, resource)
        return self.stored(body)

    async def merge(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:
        """Answers the pod with its mark."""
        self._write("merge", name, resource)
        self.version += 1
        pod = pod_of(name, namespace)
        pod["metadata"] |= {"annotations": body["metadata"]["annotations"], "resourceVersion": str(self.version)}
        return pod

    async def create(self, resource: Resource, body: Body) -> Body:
        """An event."""
        self._write("create", body["reason"], resource)
        return body

    def stored(self, body: Body) -> Body:
        """The object as a watch tells it."""
        self.version += 1
        found = deepcopy(body)
        found["metadata"] |= {"resourceVersion": str(self.version), "generation": self.generation}
        if self.image and "template" in found.get("spec", {}):
            found["spec"]["template"]["spec"]["containers"][0]["image"] = self.image
        return found

    def _write(self, verb: str, what: str, resource: Resource) -> None:
        if resource in self.trouble:
            raise self.trouble[resource]
        self.writes.append((verb, what))


@dataclass
class Stage:
    """A platform, its pool, and what the queue says. ``busy``: which pods at each look, the last ones from then on."""

    api: Api
    busy: list[set[str]] = field(default_factory=lambda: [set[str]()])
    hangs: bool = False
    looks: int = 0
    world: World = field(default_factory=World)
    pool: WorkerPool = field(default_factory=pool)

    def __post_init__(self) -> None:
        api = cast("KubeApi", self.api)
        self.world.put(POOLS, self.body())
        knowledge = Knowledge(lambda _: None, self._refresh, lambda _: None, "local/runner:1")
        recorder = Recorder(api, "test", steady=lambda: 0.0, wall=lambda: datetime.now(UTC))
        self.platform = KubernetesPlatform(api, self.world, knowledge, recorder)

    @property
    def key(self) -> PoolKey:
        """Where the pool is."""
        return key_for(self.pool)

    def body(self) -> Body:
        """The pool as the API server shows it first."""
        body = self.pool.model_dump(by_alias=True, mode="json", exclude_none=True)
        body["metadata"] |= {"uid": UID, "resourceVersion": "1", "generation": 1}
        return body

    async def _refresh(self, _: PoolKey) -> Look | None:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        busy = self.busy[min(self.looks, len(self.busy) - 1)]
        self.looks += 1
        return Look(Backlog(0), None, {name: RunnerReport(name, 1, 1, 0.1) for name in busy}, 0.0)

    async def scaled(self, replicas: int) -> list[Write]:
        """What is written when the pool gets this size."""
        self.api.writes.clear()
        await self.platform.scale(self.pool, replicas)
        return list(self.api.writes)

    def marked(self) -> set[str]:
        """The pods that are to go first."""
        return {pod.name for pod in self.world.pods(self.key) if pod.cost is not None}

    def pods(self, count: int) -> None:
        """Pods that are not ready and of which nobody reports: idle."""
        for number in range(count):
            self.world.put(PODS, pod_of(f"pod-{number}", self.key.namespace))


def pod_of(name: str, namespace: str) -> Body:
    """A pod of the pool."""
    labels = {names.LABEL_POOL: pool().metadata.name}
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels, "resourceVersion": "5"}, "status": {}}


BOTH = [("apply", "Deployment"), ("apply", "PodDisruptionBudget")]


async def test_what_is_as_it_should_be_is_not_written_again() -> None:
    stage = Stage(Api())
    assert await stage.scaled(2) == BOTH
    assert await stage.scaled(2) == []


async def test_what_a_webhook_rewrites_is_written_once_and_nobody_is_blamed() -> None:
    stage = Stage(Api(image="mirror/runner:1"))
    assert await stage.scaled(2) == BOTH
    assert await stage.scaled(2) == []
    assert await stage.scaled(3) == BOTH[:1]
    assert await stage.scaled(3) == []


async def test_a_hand_that_changes_what_a_webhook_rewrote_is_still_noticed() -> None:
    stage = Stage(Api(image="mirror/runner:1"))
    await stage.scaled(2)
    live = stage.world.deployment(stage.key)
    assert live is not None
    stage.api.generation = 2
    stage.world.put(DEPLOYMENTS, stage.api.stored(live))
    assert await stage.scaled(2) == [BOTH[0], ("create", "ChildRepaired")]
    assert await stage.scaled(2) == []


@pytest.mark.parametrize(
    "error",
    [
        ApiError(500, "InternalError", "failed calling webhook policy.example: no endpoints"),
        Forbidden(403, "Forbidden", "exceeded quota: compute"),
    ],
)
async def test_what_asking_again_does_not_cure_becomes_a_condition(error: ApiError) -> None:
    stage = Stage(Api(trouble={DEPLOYMENTS: error}))
    with pytest.raises(Refused) as refused:
        await stage.scaled(2)
    assert refused.value.trouble.reason == error.reason
    assert error.message in refused.value.trouble.message


@pytest.mark.parametrize("error", [Unreachable(0, "Unreachable", "away"), ApiError(429, "TooManyRequests", "later")])
async def test_what_passes_by_itself_is_tried_again(error: ApiError) -> None:
    stage = Stage(Api(trouble={DEPLOYMENTS: error}))
    with pytest.raises(ApiError):
        await stage.scaled(2)


async def test_a_pool_that_ends_marks_nobody() -> None:
    stage = Stage(Api())
    await stage.scaled(3)
    stage.pods(3)
    assert await stage.scaled(0) == BOTH[:1]


def test_marks_are_seen_before_the_size_falls() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        stage = Stage(Api(), busy=[{"pod-1"}])
        await stage.scaled(3)
        stage.pods(3)
        began = loop.time()
        assert await stage.scaled(1) == [("merge", "pod-0"), ("merge", "pod-2"), BOTH[0]]
        assert loop.time() - began == pytest.approx(NOTICED)
        assert await stage.scaled(1) == []
        assert loop.time() - began == pytest.approx(NOTICED)

    run(scenario)


def test_a_pod_that_took_a_job_after_it_was_marked_stays() -> None:
    async def scenario(_: VirtualLoop) -> None:
        stage = Stage(Api(), busy=[set(), {"pod-2"}])
        await stage.scaled(3)
        stage.pods(3)
        marked = [("merge", "pod-1"), ("merge", "pod-2")]
        assert await stage.scaled(1) == [*marked, ("merge", "pod-0"), ("merge", "pod-2"), BOTH[0]]
        assert stage.marked() == {"pod-0", "pod-1"}

    run(scenario)


def test_a_pool_whose_idle_pods_are_always_others_shrinks_in_the_end() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        stage = Stage(Api(), busy=[{"pod-0"}, {"pod-1"}, {"pod-0"}, {"pod-1"}, {"pod-0"}])
        await stage.scaled(2)
        stage.pods(2)
        began = loop.time()
        assert (await stage.scaled(1))[-1] == BOTH[0]
        assert stage.looks == LOOKS
        assert loop.time() - began == pytest.approx(LOOKS * NOTICED)

    run(scenario)


@pytest.mark.parametrize(
    "change", [{"deletionTimestamp": "2026-11-23T00:00:00Z"}, {"generation": 2}, {"uid": "another"}]
)
def test_a_pool_that_is_deleted_or_changed_while_marks_are_seen_is_left_alone(change: dict[str, Any]) -> None:
    async def scenario(loop: VirtualLoop) -> None:
        stage = Stage(Api(), busy=[{"pod-1"}])
        await stage.scaled(3)
        stage.pods(3)
        changed = stage.body()
        changed["metadata"] |= {"resourceVersion": "2", **change}
        loop.call_later(NOTICED / 2, stage.world.put, POOLS, changed)
        assert await stage.scaled(1) == [("merge", "pod-0"), ("merge", "pod-2")]

    run(scenario)


async def test_marks_that_nobody_may_set_hold_up_no_scale_in() -> None:
    stage = Stage(Api(trouble={PODS: Forbidden(403, "Forbidden", "a policy on pods")}))
    await stage.scaled(3)
    stage.pods(3)
    assert await stage.scaled(1) == BOTH[:1]
    assert (await stage.platform.observe(stage.pool)).wanted == 1


async def test_without_an_api_server_nothing_shrinks_without_marks() -> None:
    stage = Stage(Api())
    await stage.scaled(3)
    stage.pods(3)
    stage.api.trouble[PODS] = Unreachable(0, "Unreachable", "away")
    with pytest.raises(Unreachable):
        await stage.scaled(1)
    assert (await stage.platform.observe(stage.pool)).wanted == 3


def test_a_database_that_hangs_keeps_the_size_and_holds_up_nobody() -> None:
    async def scenario(loop: VirtualLoop) -> None:
        stage = Stage(Api(), hangs=True)
        await stage.scaled(3)
        assert await stage.scaled(1) == []
        assert loop.time() <= PATIENCE + 0.1
        assert (await stage.platform.observe(stage.pool)).wanted == 3

    run(scenario)


async def test_a_deployment_that_is_gone_comes_back_with_its_size() -> None:
    stage = Stage(Api())
    await stage.scaled(3)
    live: Any = stage.world.deployment(stage.key)
    stage.world.drop(DEPLOYMENTS, stage.api.stored(live))
    assert (await stage.platform.observe(stage.pool)).wanted == 3
