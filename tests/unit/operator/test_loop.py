"""The loop: shared readings, pools apart from each other, decisions when due, pushes at zero."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from workerpool_contract.backlog import Backlog, Reading, RunnerReport, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.platform import Happening, PoolState, ReplicaState, ReplicaView
from workerpool_operator.up.loop import ManagedPool, PoolLoop


@dataclass
class Queues:
    """A reader whose answers a test sets."""

    readings: dict[str, Reading] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    async def read(self, queues: list[str]) -> dict[str, Reading]:
        self.asked.append(queues)
        return {queue: self.readings.get(queue, Backlog(0)) for queue in queues}

    async def runners(self, queues: list[str]) -> dict[str, tuple[RunnerReport, ...]] | Unknown:
        return dict.fromkeys(queues, ())

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Replicas:
    """A platform that counts; ``broken`` pools can't be scaled."""

    counts: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    async def observe(self, pool: WorkerPool) -> PoolState:
        name = pool.metadata.name
        ready = (ReplicaView(f"{name}-{n}", ReplicaState.READY, busy=0) for n in range(self.counts.get(name, 0)))
        return PoolState(tuple(ready))

    async def scale(self, pool: WorkerPool, replicas: int) -> None:
        if pool.metadata.name in self.broken:
            message = "no more processes for postgresql://app:hunter2@db/q"
            raise OSError(message)
        self.counts[pool.metadata.name] = replicas

    async def report(self, pool: WorkerPool, status: WorkerPoolStatus, happenings: Sequence[Happening]) -> None:
        """Nobody is told."""

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Time:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """Everything that a reconciler touches."""

    queues: Queues = field(default_factory=Queues)
    replicas: Replicas = field(default_factory=Replicas)
    time: Time = field(default_factory=Time)

    def reconciler(self, *names: str, **scaling: Any) -> PoolLoop:
        pools = [ManagedPool(resource(name, scaling), f"q-{name}", self.queues) for name in names]
        return PoolLoop(pools, self.replicas, steady=self.time, wall=self.time)


def resource(name: str, scaling: dict[str, Any], source: dict[str, Any] | None = None) -> WorkerPool:
    """A pool on the queue q-NAME."""
    body = {"scaleDown": {"stabilizationSeconds": 0}, **scaling}
    source = source or {"postgres": {"queue": f"q-{name}"}}
    spec = {"source": source, "worker": {"app": "a"}, "scaling": body}
    manifest = {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": {"name": name}, "spec": spec}
    return WorkerPool.model_validate(manifest)


@pytest.fixture
def world() -> World:
    return World()


async def test_backlog_becomes_replicas_with_a_reason(world: World) -> None:
    world.queues.readings["q-a"] = Backlog(35)
    [view] = await world.reconciler("a").tick()
    assert world.replicas.counts == {"a": 4}
    assert view.status.reason == "35 ready and 0 in flight, at 10 per replica: 4"
    assert (view.status.desired_replicas, view.state.ready) == (4, 4)


async def test_one_request_for_all_pools_of_a_reader(world: World) -> None:
    await world.reconciler("b", "a", "c").tick()
    assert world.queues.asked == [["q-a", "q-b", "q-c"]]


async def test_a_bad_pool_never_stops_the_others(world: World) -> None:
    world.queues.readings.update({"q-a": Backlog(10), "q-b": Backlog(10)})
    world.replicas.broken.add("a")
    reconciler = world.reconciler("a", "b")
    first, second = await reconciler.tick()
    assert first.failure == "OSError: no more processes for postgresql://app:***@db/q"
    assert (second.failure, world.replicas.counts) == ("", {"b": 1})
    world.replicas.broken.clear()
    world.time.now += 5
    first, _ = await reconciler.tick()
    assert (first.failure, world.replicas.counts["a"]) == ("", 1)


async def test_decides_when_due_and_looks_always(world: World) -> None:
    reconciler = world.reconciler("a", pollIntervalSeconds=10)
    await reconciler.tick()
    world.queues.readings["q-a"] = Backlog(20)
    world.time.now += 9
    [view] = await reconciler.tick()
    assert (view.reading, world.replicas.counts) == (Backlog(20), {"a": 0})
    assert reconciler.next_due == world.time.now + 1
    world.time.now += 1
    await reconciler.tick()
    assert world.replicas.counts == {"a": 2}


async def test_a_push_wakes_pools_at_zero_only(world: World) -> None:
    reconciler = world.reconciler("a", pollIntervalSeconds=60)
    await reconciler.tick()
    world.queues.readings["q-a"] = Backlog(1)
    assert reconciler.wake("q-a")
    assert not reconciler.wake("q-other")
    await reconciler.tick()
    assert world.replicas.counts == {"a": 1}
    assert not reconciler.wake("q-a")


async def test_a_source_that_pushes_nothing_wakes_by_what_is_read(world: World) -> None:
    broker = resource("a", {"pollIntervalSeconds": 60}, {"rabbitmq": {"host": "broker", "queue": "q-a"}})
    reconciler = PoolLoop(
        [ManagedPool(broker, "q-a", world.queues)], world.replicas, steady=world.time, wall=world.time
    )
    await reconciler.tick()
    world.queues.readings["q-a"] = Backlog(1)
    world.time.now += 1
    await reconciler.tick()
    assert world.replicas.counts == {"a": 1}


async def test_unknown_holds_what_runs(world: World) -> None:
    world.replicas.counts["a"] = 3
    world.queues.readings["q-a"] = Unknown("away")
    reconciler = world.reconciler("a")
    for _ in range(10):
        await reconciler.tick()
        world.time.now += 5
    [view] = await reconciler.tick()
    assert world.replicas.counts == {"a": 3}
    assert view.status.reason == "backlog unknown (away): 3 held"


async def test_watching_decides_nothing(world: World) -> None:
    world.queues.readings["q-a"] = Backlog(100)
    await world.reconciler("a").tick(deciding=False)
    assert world.replicas.counts == {}
