"""The loop over pools on one machine: all readings at once, then one step for each pool that is due, by itself.

`PoolLoop.tick` looks at every pool (one request per source endpoint) and reconciles those that are due. One pool that
fails is told so in its view and tried again at its next look; the others don't notice.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from workerpool_contract.backlog import Backlog, BacklogReader, Reading, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus
from workerpool_contract.urls import without_passwords
from workerpool_operator.observe import Rates, Sample, rates_between
from workerpool_operator.platform import Platform, PoolState
from workerpool_operator.reconciler import Sight, reconcile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolView:
    """What is known of one pool right now, for whoever shows it. ``failure``: why the last step failed, or empty."""

    name: str
    queue: str
    state: PoolState
    reading: Reading
    status: WorkerPoolStatus
    rates: Rates
    failure: str = ""


@dataclass(slots=True)
class ManagedPool:
    """A pool, who reads its backlog, and what the loop remembers of it."""

    resource: WorkerPool
    queue: str
    reader: BacklogReader
    due: float = 0.0
    sample: Sample | None = None
    rates: Rates | None = None
    view: PoolView = field(init=False)

    def __post_init__(self) -> None:
        """Starts with nothing known."""
        unread = Unknown("not read yet")
        status = self.resource.status or WorkerPoolStatus()
        self.view = PoolView(self.resource.metadata.name, self.queue, PoolState(), unread, status, Rates())


class PoolLoop:
    """Reconciles pools on one platform.

    ``steady``: seconds of a clock that never jumps, for intervals. ``wall``: Unix time in seconds, for the history.
    """

    def __init__(
        self,
        pools: Sequence[ManagedPool],
        platform: Platform,
        *,
        steady: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Nothing runs until the first tick."""
        self._pools = tuple(pools)
        self._platform = platform
        self._steady = steady
        self._wall = wall

    async def tick(self, *, deciding: bool = True) -> tuple[PoolView, ...]:
        """Looks at all pools, decides for those that are due (unless not ``deciding``), and returns the views."""
        readings = await self._read()
        steps = (
            self._step(pool, reading, deciding=deciding) for pool, reading in zip(self._pools, readings, strict=True)
        )
        await asyncio.gather(*steps)
        return tuple(pool.view for pool in self._pools)

    def wake(self, queue: str) -> bool:
        """Makes pools of ``queue`` that have no replica due at once; whether there was one."""
        woken = [pool for pool in self._pools if pool.queue == queue and not pool.view.state.kept]
        for pool in woken:
            pool.due = 0.0
        return bool(woken)

    @property
    def next_due(self) -> float:
        """The steady time at which the next pool is due."""
        return min((pool.due for pool in self._pools), default=self._steady())

    async def _read(self) -> list[Reading]:
        readers = list({id(pool.reader): pool.reader for pool in self._pools}.values())
        asked = [sorted({pool.queue for pool in self._pools if pool.reader is reader}) for reader in readers]
        answers = await asyncio.gather(*(reader.read(queues) for reader, queues in zip(readers, asked, strict=True)))
        by_reader = {id(reader): answer for reader, answer in zip(readers, answers, strict=True)}
        return [by_reader[id(pool.reader)][pool.queue] for pool in self._pools]

    async def _step(self, pool: ManagedPool, reading: Reading, *, deciding: bool) -> None:
        try:
            if _wakes(pool, reading):
                pool.due = 0.0
            _measure(pool, reading, self._steady())
            pool.view = replace(pool.view, reading=reading, rates=pool.rates or Rates())
            if deciding and self._steady() >= pool.due:
                await self._reconcile(pool, reading)
            else:
                pool.view = replace(pool.view, state=await self._platform.observe(pool.resource))
            pool.view = replace(pool.view, failure="")
        except Exception as error:  # one bad pool must never stop the others
            logger.debug("Pool %s failed", pool.resource.metadata.name, exc_info=True)
            pool.due = self._steady() + pool.resource.spec.scaling.poll_interval_seconds
            pool.view = replace(pool.view, failure=without_passwords(f"{type(error).__name__}: {error}"))

    async def _reconcile(self, pool: ManagedPool, reading: Reading) -> None:
        step = await reconcile(pool.resource, Sight(reading, pool.rates), self._platform, self._wall())
        pool.resource = step.resource
        pool.due = self._steady() + step.next_check
        pool.view = replace(pool.view, state=step.state, status=step.status)


def _wakes(pool: ManagedPool, reading: Reading) -> bool:
    """Whether a source that pushes nothing shows first work for a pool without replicas."""
    if pool.resource.spec.source.rabbitmq is None or pool.view.state.kept:
        return False
    before = pool.view.reading
    had_work = isinstance(before, Backlog) and before.work > 0
    return isinstance(reading, Backlog) and reading.work > 0 and not had_work


def _measure(pool: ManagedPool, reading: Reading, at: float) -> None:
    if isinstance(reading, Backlog):
        sample = Sample(at, reading)
        if pool.sample is not None:
            pool.rates = rates_between(pool.sample, sample, pool.rates)
        pool.sample = sample
