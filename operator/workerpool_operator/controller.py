"""One pool, looked at: what the cluster and the queue say of it goes through the shared step, on Kubernetes.

Level-based: nothing here knows why it was called. Called again at once it writes nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.secretrefs import SecretUse
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import Condition, ConditionStatus, ConditionType, WorkerPoolStatus
from workerpool_operator.backlog.endpoints import Lack, endpoint_of, lacking
from workerpool_operator.backlog.hub import Hub
from workerpool_operator.backlog.watch import Endpoint, Look, watch_of
from workerpool_operator.happenings import happenings, secret_rotated
from workerpool_operator.kube.objects import PoolKey, PoolRecord
from workerpool_operator.kube.platform import KubernetesPlatform
from workerpool_operator.kube.secrets import Secrets, SecretValue
from workerpool_operator.kube.views import size_of
from workerpool_operator.kube.world import World
from workerpool_operator.listening import STEP, Listening
from workerpool_operator.metrics import Metrics, PoolFigures
from workerpool_operator.reconciler import Sight, Step, reconcile
from workerpool_operator.report import worth_writing

logger = logging.getLogger(__name__)

# Seconds after which what the platform refused is tried again: nobody may tell when the cause is gone.
REFUSED_AGAIN = 30.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """``steady``: seconds of a clock that never jumps. ``wall``: Unix time in seconds."""

    steady: Callable[[], float]
    wall: Callable[[], float]


@dataclass(slots=True)
class _Memory:
    """What is remembered of a pool between two looks; of the pool with this ``uid``, not of a later one of its name.

    ``status``: as last written. ``decided``: when the look was taken that was last decided on. ``values``: what its
    Secrets last said. ``listening``: for the first word of new replicas.
    """

    uid: str
    status: WorkerPoolStatus | None
    decided: float = float("-inf")
    endpoint: Endpoint | None = None
    values: dict[SecretUse, str] = field(default_factory=dict, repr=False)
    listening: Listening = field(default_factory=Listening)


class Controller:
    """Reconciles pools by key."""

    def __init__(
        self,
        *,
        world: World,
        hub: Hub[PoolKey],
        secrets: Secrets,
        platform: KubernetesPlatform,
        metrics: Metrics,
        clocks: Clocks,
    ) -> None:
        """Nothing happens before the first `reconcile`."""
        self._world = world
        self._hub = hub
        self._secrets = secrets
        self._platform = platform
        self._metrics = metrics
        self._clocks = clocks
        self._memories: dict[PoolKey, _Memory] = {}

    async def reconcile(self, key: PoolKey) -> float | None:
        """Brings a pool closer to what is asked of it; the seconds until the next look, None: when something happens.

        Raises ApiError when the API server fails; trying again is the cure.
        """
        began = self._clocks.steady()
        record = self._world.pool(key)
        if record is None or record.deleting:
            self._forget(key)
            return None
        memory = self._memories.get(key)
        if memory is None or memory.uid != record.uid:
            self._platform.forget(key)
            memory = self._memories[key] = _Memory(record.uid, record.status)
        pause: float | None = None
        try:
            if record.pool is None:
                await self._unusable(record, memory)
            else:
                pause = await self._step(record.pool.model_copy(update={"status": memory.status}), key, memory)
        finally:
            self._metrics.reconciles.observe(self._clocks.steady() - began)
        return 0.0 if self._moved_on(record) else pause

    def _moved_on(self, record: PoolRecord) -> bool:
        """Whether the pool was changed meanwhile: the answer to a write may bring that, and then no watch tells it."""
        latest = self._world.pool(record.key)
        return latest is not None and (latest.uid, latest.generation, latest.deleting) != (
            record.uid,
            record.generation,
            record.deleting,
        )

    def _forget(self, key: PoolKey) -> None:
        self._hub.forget(key)
        self._secrets.forget(key)
        self._platform.forget(key)
        self._metrics.forget(*key)
        self._memories.pop(key, None)

    async def _step(self, pool: WorkerPool, key: PoolKey, memory: _Memory) -> float | None:
        look = await self._look(pool, key, memory)
        if look is None:  # the first reading is under way; the hub tells when it is there
            return None
        sight = Sight(look.reading, look.rates, fresh=look.at > memory.decided)
        asleep = size_of(self._world.deployment(key)) == 0
        step = await reconcile(pool, sight, self._platform, self._clocks.wall())
        memory.status, memory.decided = step.resource.status, look.at
        if asleep and size_of(self._world.deployment(key)) > 0:
            self._metrics.wakeups.observe(self._clocks.steady() - look.at)
        self._follow(pool, key, memory, asleep=step.state.wanted == 0)
        listening = memory.listening.goes_on(step.state.kept, fresh=sight.fresh)
        if listening and isinstance(look.reading, Backlog):
            self._hub.hasten(key, STEP)
        self._publish(pool, key, look, step)
        return min(step.next_check, REFUSED_AGAIN) if step.refused else step.next_check

    async def _look(self, pool: WorkerPool, key: PoolKey, memory: _Memory) -> Look | None:
        """What is known of the pool's queue; without an endpoint that is known, anew at every poll interval."""
        found = await self._endpoint(pool, key, memory)
        if isinstance(found, Unknown):
            self._hub.forget(key)
            memory.endpoint = None
            now = self._clocks.steady()
            due = now - memory.decided >= pool.spec.scaling.poll_interval_seconds
            return Look(found, None, None, now if due else memory.decided)
        memory.endpoint = found
        self._follow(pool, key, memory, asleep=size_of(self._world.deployment(key)) == 0)
        return self._hub.look(key)

    async def _endpoint(self, pool: WorkerPool, key: PoolKey, memory: _Memory) -> Endpoint | Unknown:
        """Where the pool's queue is, by what its Secrets say now; a value that is another than before is told."""
        answers = await self._secrets.values(key, pool.spec.secret_uses)
        values = {use: answer.text for use, answer in answers.items() if isinstance(answer, SecretValue)}
        rotated = [use for use, text in values.items() if memory.values.get(use, text) != text]
        memory.values = {use: text for use, text in memory.values.items() if use in answers} | values
        for use in rotated:
            logger.info("A Secret of a pool changed", extra={"pool": str(key), "secret": use.name, "key": use.key})
        if rotated:
            await self._platform.tell(key, [secret_rotated(use) for use in rotated])
        lacks = {use: answer for use, answer in answers.items() if isinstance(answer, Lack) and use.for_reading}
        if lacks:
            return lacking(lacks)
        return endpoint_of(pool.spec.source, {use.role: text for use, text in values.items() if use.for_reading})

    def _follow(self, pool: WorkerPool, key: PoolKey, memory: _Memory, *, asleep: bool) -> None:
        if memory.endpoint is not None:
            self._hub.follow(key, watch_of(pool, memory.endpoint, asleep=asleep))

    def _publish(self, pool: WorkerPool, key: PoolKey, look: Look, step: Step) -> None:
        if step.refused:
            self._metrics.refusals.inc()
        self._metrics.show(*key, PoolFigures(pool, step.status, look.reading, step.state.wanted))

    async def _unusable(self, record: PoolRecord, memory: _Memory) -> None:
        """Says what is wrong with a spec; what runs is left as it is until somebody corrects it."""
        self._hub.forget(record.key)
        self._secrets.forget(record.key)
        memory.endpoint = None
        before = memory.status or WorkerPoolStatus()
        now = datetime.fromtimestamp(int(self._clocks.wall()), UTC)
        status = unusable_status(before, record, now)
        self._metrics.show(*record.key, PoolFigures(None, status, None, None))
        if memory.status is None or worth_writing(before, status):
            await self._platform.report_at(record.key, status, happenings(before, status, carried_out=False))
            memory.status = status


def unusable_status(before: WorkerPoolStatus, record: PoolRecord, now: datetime) -> WorkerPoolStatus:
    """The status of a pool whose spec can't be used: stalled and not ready, with every mistake."""
    truths = {
        ConditionType.READY: ConditionStatus.FALSE,
        ConditionType.SCALING_ACTIVE: ConditionStatus.FALSE,
        ConditionType.STALLED: ConditionStatus.TRUE,
    }
    since = {it.type: it.last_transition_time for it in before.conditions if truths.get(it.type) is it.status}
    conditions = tuple(
        Condition(
            type=kind,
            status=truth,
            reason="InvalidSpec",
            message=record.problem,
            observed_generation=record.generation,
            last_transition_time=since.get(kind, now),
        )
        for kind, truth in truths.items()
    )
    changes = {"observed_generation": record.generation, "conditions": conditions, "reason": record.problem}
    return before.model_copy(update=changes)
