"""One step: what is carried out, kept and told; refusals; what an unchanged pool does not write; restarts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus
from workerpool_operator.platform import Happening, PoolState, Refused, ReplicaState, ReplicaView, Trouble
from workerpool_operator.reconciler import Sight, Step, reconcile
from workerpool_operator.report import status_document, status_from

NOW = 1_800_000_000.0
REFUSAL = Refused("NameTaken", "Deployment a belongs to somebody else; rename the pool or delete the Deployment")


@dataclass
class Cluster:
    """A platform that remembers a size, like a Deployment; its pods are ready at once unless it is in trouble."""

    size: int = 0
    refusal: Refused | None = None
    least: int = 0
    trouble: Trouble | None = None
    stuck: Trouble | None = None
    reports: list[tuple[WorkerPoolStatus, tuple[Happening, ...]]] = field(default_factory=list)

    async def observe(self, pool: WorkerPool) -> PoolState:
        """Ready replicas, as many as there should be."""
        count = 0 if self.trouble else self.size
        views = (ReplicaView(f"{pool.metadata.name}-{n}", ReplicaState.READY, busy=0) for n in range(count))
        return PoolState(tuple(views), self.size, self.trouble, self.stuck)

    async def scale(self, _: WorkerPool, replicas: int) -> None:
        """Sets the size, but never below what is busy in secret, or refuses."""
        if self.refusal:
            raise self.refusal
        self.size = max(replicas, self.least)

    async def report(self, _: WorkerPool, status: WorkerPoolStatus, happenings: Sequence[Happening]) -> None:
        """Writes down what it is given."""
        self.reports.append((status, tuple(happenings)))

    async def close(self) -> None:
        """Nothing to close."""

    @property
    def told(self) -> list[str]:
        """The reasons of everything that happened."""
        return [it.reason for _, happenings in self.reports for it in happenings]


def pool(**scaling: Any) -> WorkerPool:
    """A pool as the API server shows it before the first look."""
    body = {"maxReplicas": 10, "scaleDown": {"stabilizationSeconds": 0}, **scaling}
    spec = {"source": {"postgres": {"queue": "q"}}, "worker": {"app": "a"}, "scaling": body}
    metadata = {"name": "a", "namespace": "shop", "generation": 3}
    manifest = {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": metadata, "spec": spec}
    return WorkerPool.model_validate(manifest)


async def play(cluster: Cluster, given_pool: WorkerPool, *readings: Reading, gap: float = 5.0) -> Step:
    """One step per reading, ``gap`` seconds apart; the last one."""
    start = NOW + 1000 * len(cluster.reports)
    steps: list[Step] = []
    for number, reading in enumerate(readings):
        resource = steps[-1].resource if steps else given_pool
        steps.append(await reconcile(resource, Sight(reading), cluster, start + number * gap))
    return steps[-1]


def conditions(status: WorkerPoolStatus) -> dict[str, tuple[str, str]]:
    """Type -> (status, reason)."""
    return {c.type.value: (c.status.value, c.reason) for c in status.conditions}


async def test_a_step_scales_keeps_the_status_and_tells() -> None:
    cluster = Cluster()
    step = await play(cluster, pool(), Backlog(35))
    assert (cluster.size, step.status.desired_replicas, step.status.ready_replicas) == (4, 4, 4)
    assert step.status.selector == "workerpool.dev/pool=a"
    assert (step.resource.status, cluster.told) == (step.status, ["ScaledUp"])


async def test_the_present_size_is_what_the_platform_was_told() -> None:
    """Pods that the platform has not made yet are not asked for twice."""
    cluster = Cluster(size=4, trouble=Trouble("ImageMissing", "image x is not found; correct spec.worker.image"))
    step = await play(cluster, pool(pause={"mode": "Hold"}), Backlog(35))
    assert (cluster.size, step.status.desired_replicas) == (4, 4)
    assert conditions(step.status)["Stalled"] == ("True", "ImageMissing")
    assert conditions(step.status)["Ready"] == ("False", "ImageMissing")


async def test_a_pool_may_be_ready_and_stalled() -> None:
    cluster = Cluster(size=4, stuck=Trouble("ReplicasFailing", "ImagePullBackOff: no such image"))
    step = await play(cluster, pool(), Backlog(35))
    assert conditions(step.status)["Ready"] == ("True", "ReplicasReady")
    assert conditions(step.status)["Stalled"] == ("True", "ReplicasFailing")


async def test_a_refusal_stalls_until_it_is_lifted() -> None:
    cluster = Cluster(refusal=REFUSAL)
    stalled = await play(cluster, pool(scaleUp={"policies": [{"type": "Replicas", "value": 4}]}), *[Backlog(35)] * 3)
    assert stalled.refused
    assert conditions(stalled.status)["Stalled"] == ("True", "NameTaken")
    assert conditions(stalled.status)["Ready"] == ("False", "NameTaken")
    assert stalled.status.history.changes == ()
    assert (len(cluster.reports), cluster.told) == (1, ["NameTaken"])
    cluster.refusal = None
    healed = await play(cluster, stalled.resource, Backlog(35))
    assert conditions(healed.status)["Stalled"] == ("False", "Progressing")
    assert (cluster.size, cluster.told) == (4, ["NameTaken", "Recovered"])


async def test_what_the_platform_took_away_is_what_is_told_and_counted() -> None:
    """It reads the queue once more before it takes anything away, and finds jobs that the decision did not know of."""
    policies = [{"type": "Replicas", "value": 4, "periodSeconds": 60}]
    cluster = Cluster(size=9, least=7)
    given_pool = pool(scaleDown={"stabilizationSeconds": 0, "policies": policies})
    step = await play(cluster, given_pool, Backlog(0))
    assert (cluster.size, step.status.desired_replicas) == (7, 7)
    assert [change.delta for change in step.status.history.changes] == [-2]
    assert step.status.reason.endswith("then 7: 7 kept, for running jobs")
    kept = await play(Cluster(size=9, least=9), given_pool, Backlog(0))
    assert (kept.status.desired_replicas, kept.status.history.changes) == (9, ())


async def test_one_failed_reading_counts_once() -> None:
    """However often a pool is looked at in between, for a pod that came or went."""
    cluster, given_pool = Cluster(), pool(fallback={"replicas": 3, "afterFailures": 2})
    step = await reconcile(given_pool, Sight(Unknown("away")), cluster, NOW)
    for _ in range(5):
        step = await reconcile(step.resource, Sight(Unknown("away"), fresh=False), cluster, NOW + 1)
    assert cluster.size == 0
    await reconcile(step.resource, Sight(Unknown("away")), cluster, NOW + 5)
    assert cluster.size == 3
    assert cluster.told == ["BacklogUnknown", "ScaledUp"]


async def test_an_old_reading_says_nothing_of_the_next_delayed_job() -> None:
    cluster, reading = Cluster(), Backlog(0, delayed=1, next_due=0.2)
    step = await reconcile(pool(), Sight(reading), cluster, NOW)
    assert step.next_check == 0.2
    step = await reconcile(step.resource, Sight(reading, fresh=False), cluster, NOW + 0.2)
    assert step.next_check == 5


counts = st.integers(0, 400)
readings = st.builds(Backlog, ready=counts, in_flight=st.integers(0, 5), delayed=counts)
scalings = st.fixed_dictionaries(
    {},
    optional={
        "activationBacklog": st.just(500),
        "pause": st.just({"mode": "Hold"}),
        "targetWaitSeconds": st.integers(1, 60),
        "scaleDown": st.just({"stabilizationSeconds": 60}),
        "scaleUp": st.just({"stabilizationSeconds": 30, "policies": [{"type": "Replicas", "value": 1}]}),
    },
)


@given(scalings, readings | st.just(Unknown("away")), st.lists(st.floats(0, 1e6), min_size=3, max_size=6))
async def test_an_unchanged_pool_writes_nothing(scaling: dict[str, Any], seen: Reading, ages: list[float]) -> None:
    """Also one with a standing backlog below its threshold, or paused: only the age of its jobs grows."""
    cluster = Cluster(size=2)
    settled = await play(cluster, pool(**scaling), *[seen] * 30, gap=61)
    written = len(cluster.reports)
    for number, age in enumerate(ages):
        aged = Backlog(seen.ready, seen.in_flight, seen.delayed, oldest_age=age) if isinstance(seen, Backlog) else seen
        step = await reconcile(settled.resource, Sight(aged), cluster, NOW + 1e6 + 5 * number)
        assert step.resource.status == settled.resource.status
    assert len(cluster.reports) == written


@given(st.integers(150, 10_000), st.lists(st.floats(-0.04, 0.04), max_size=20))
async def test_a_backlog_that_wobbles_beyond_the_maximum_is_not_written(jobs: int, noise: list[float]) -> None:
    cluster = Cluster(size=10)
    wobbling = [Backlog(round(jobs * (1 + wobble)), 10) for wobble in noise]
    await play(cluster, pool(), Backlog(jobs, 10), *wobbling)
    assert len(cluster.reports) == 1


sights = st.lists(st.tuples(readings | st.just(Unknown("away")), st.floats(0.1, 90)), max_size=25)


@given(scalings, sights)
async def test_an_operator_that_restarts_decides_the_same(
    scaling: dict[str, Any], seen: list[tuple[Reading, float]]
) -> None:
    """The kept status goes through the form in which the API server stores it, after every step."""
    kept, stored = Cluster(), Cluster()
    one = other = pool(**scaling)
    now = NOW
    for reading, gap in seen:
        now += gap
        step = await reconcile(one, Sight(reading), kept, now)
        again = await reconcile(other, Sight(reading), stored, now)
        assert (step.status.desired_replicas, step.status.reason) == (
            again.status.desired_replicas,
            again.status.reason,
        )
        one = step.resource
        document = status_document(again.resource.status or WorkerPoolStatus())
        other = again.resource.model_copy(update={"status": status_from(document)})
    assert kept.told == stored.told
