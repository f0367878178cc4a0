"""Sources at work at the same time while leases run out at random: each job gets one effective end, and gets it."""

import asyncio
import random
from collections import Counter
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.crash.conftest import Scene
from workerpool.outcome import SUCCEEDED, DeadLetter, DeadReason, Interrupted, Outcome, Retry
from workerpool.sources.base import Settlement, Subscription
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.source import PostgresSource
from workerpool.sources.postgres.upkeep import Identity, Lease

pytestmark = pytest.mark.crash

JOBS = 1500
SOURCES = 4
QUEUE = "races"
ENDS: tuple[Outcome, ...] = (SUCCEEDED, SUCCEEDED, SUCCEEDED, DeadLetter(DeadReason.ERROR, "no"))
DETOURS: tuple[Outcome, ...] = (Retry(0.0, "again"), Interrupted())
LOSE_SOME = """
update workerpool.job set lease_until = now() - interval '1 s' where ctid = any (array(
  select ctid from workerpool.job where boot is not null and random() < 0.3 for update skip locked))
"""


class Race:
    """What all sources have told about effective ends, and whether the jobs are all done."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.ends: Counter[int] = Counter()

    @property
    def is_over(self) -> bool:
        return len(self.ends) == JOBS

    async def work(self, source: PostgresSource) -> None:
        """Claims, settles some, sits on others until somebody else may have them, and then settles those too."""
        late: list[Settlement] = []
        while not self.is_over:
            jobs = await source.claim({QUEUE: self.chance.randint(1, 30)})
            batch = [Settlement(job, self._outcome(), 0.0, "w") for job in jobs]
            self.chance.shuffle(batch)
            late += batch[: len(batch) // 4]
            await self._settle(source, batch[len(batch) // 4 :])
            if len(late) > self.chance.randint(0, 40):
                await self._settle(source, late)
                late = []

    async def time(self, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Makes leases run out and delays pass."""
        number = await admin.fetchval("select workerpool.queue_id($1)", QUEUE)
        while not self.is_over:
            await admin.execute(LOSE_SOME)
            await admin.fetchval("select moved from workerpool.promote($1)", [number])

    async def _settle(self, source: PostgresSource, batch: list[Settlement]) -> None:
        """Told once or twice: the second time nothing may happen. A job once per batch, as runners do it."""
        once = list({it.job.id: it for it in batch}.values())
        stale = {job.id for job in await source.settle(once)}
        self.ends.update(it.job.id for it in once if it.job.id not in stale and it.outcome in ENDS)
        if once and self.chance.random() < 0.2:
            assert len(await source.settle(once)) == len(once), "a second settlement had an effect"

    def _outcome(self) -> Outcome:
        return self.chance.choice(DETOURS if self.chance.random() < 0.3 else ENDS)


@pytest.mark.parametrize("seed", range(3))
async def test_each_job_has_one_effective_end(scene: Scene, seed: int) -> None:
    scene.tables.enqueue(QUEUE, ({"n": n} for n in range(JOBS)))
    race = Race(random.Random(seed))
    sources = [
        PostgresSource(Endpoint(scene.tables.url), Identity(uuid4(), "s", "here", 1, "0"), Lease(3600, lambda: 0.0))
        for _ in range(SOURCES)
    ]
    for source in sources:
        await source.open([Subscription(QUEUE, QUEUE)], list)
    admin = await asyncpg.connect(scene.tables.url)
    async with asyncio.timeout(240):
        await asyncio.gather(race.time(admin), *(race.work(source) for source in sources))
    for source in sources:
        await source.close()
    await admin.close()

    assert set(race.ends.values()) == {1}, "a job ended twice in effect"
    assert sorted(row["n"] for row in scene.tables.history()) == list(range(JOBS))
    assert scene.tables.unfinished() == 0
    assert {row["id"] for row in scene.tables.dead()} == {
        row["id"] for row in scene.tables.history() if row["state"] == "dead"
    }
