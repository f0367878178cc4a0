"""Two statements on one job at the same moment: the later one waits and then sees what the earlier one did."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.crash.conftest import Scene
from tests.support.waiting import eventually
from workerpool.outcome import SUCCEEDED, Interrupted, Outcome, Retry
from workerpool.sources.base import Job, Settlement, Subscription
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.source import PostgresSource
from workerpool.sources.postgres.upkeep import Identity, Lease

pytestmark = pytest.mark.crash

QUEUE = "locked"
RENEW = "update workerpool.job set lease_until = now() + interval '1 hour'"
STEAL = "update workerpool.job set boot = gen_random_uuid(), claim = 1"


@pytest.fixture
async def source(scene: Scene) -> AsyncIterator[PostgresSource]:
    made = PostgresSource(Endpoint(scene.tables.url), Identity(uuid4(), "s", "here", 1, "0"), Lease(3600, lambda: 0.0))
    await made.open([Subscription(QUEUE, QUEUE)], list)
    yield made
    await made.close()


async def _until_somebody_waits(session: "asyncpg.Connection[asyncpg.Record]") -> None:
    ask = "select count(*) > 0 from pg_locks where not granted and locktype = 'transactionid'"

    async def waits() -> bool:
        return bool(await session.fetchval(ask))

    await eventually(waits, "the settlement waits for the other session")


async def _settle_behind(scene: Scene, source: PostgresSource, statement: str, outcome: Outcome) -> list[Job]:
    """Settles three jobs while another session has changed their rows and not committed yet; returns the stale."""
    scene.tables.enqueue(QUEUE, [{"n": n} for n in range(3)])
    jobs = await source.claim({QUEUE: 3})
    other = await asyncpg.connect(scene.tables.url)
    async with other.transaction():
        await other.execute(statement)
        settling = asyncio.create_task(source.settle([Settlement(job, outcome, 0.1, "w") for job in jobs]))
        await _until_somebody_waits(other)
    stale = await settling
    await other.close()
    return stale


@pytest.mark.parametrize(
    "outcome", [SUCCEEDED, Retry(3600.0, "later"), Interrupted()], ids=["finish", "route", "release"]
)
async def test_a_settlement_that_meets_the_renewal_of_its_own_lease_counts(
    scene: Scene, source: PostgresSource, outcome: Outcome
) -> None:
    assert await _settle_behind(scene, source, RENEW, outcome) == []
    assert all(job["boot"] is None for job in scene.tables.jobs())


@pytest.mark.parametrize(
    "outcome", [SUCCEEDED, Retry(3600.0, "later"), Interrupted()], ids=["finish", "route", "release"]
)
async def test_a_settlement_that_meets_another_claim_is_stale(
    scene: Scene, source: PostgresSource, outcome: Outcome
) -> None:
    assert len(await _settle_behind(scene, source, STEAL, outcome)) == 3
    assert [job["claim"] for job in scene.tables.jobs()] == [1, 1, 1]
    assert scene.tables.history() == []


async def test_a_mixed_settlement_never_waits_in_a_circle(scene: Scene, source: PostgresSource) -> None:
    """Another session holds the job that is handed back, and then wants the one that is finished."""
    scene.tables.enqueue(QUEUE, [{"n": n} for n in range(2)])
    released, finished = await source.claim({QUEUE: 2})
    other = await asyncpg.connect(scene.tables.url)
    async with other.transaction():
        await other.execute(f"{RENEW} where id = $1", released.id)
        batch = [Settlement(released, Interrupted(), 0.0, "w"), Settlement(finished, SUCCEEDED, 0.1, "w")]
        settling = asyncio.create_task(source.settle(batch))
        await _until_somebody_waits(other)
        await other.execute(f"{RENEW} where id = $1", finished.id)
    assert await settling == []
    await other.close()
    assert [(job["id"], job["boot"]) for job in scene.tables.jobs()] == [(released.id, None)]
    assert [row["id"] for row in scene.tables.history()] == [finished.id]
