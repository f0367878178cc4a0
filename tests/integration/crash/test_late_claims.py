"""A claim whose answer was given up may still be on its way: it must not take jobs that nobody will run."""

from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.crash.conftest import Scene
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Job, Settlement, Subscription
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.source import PostgresSource
from workerpool.sources.postgres.upkeep import Identity, Lease

pytestmark = pytest.mark.crash

QUEUE = "late"
CLAIM_SESSIONS = (
    "select pid from pg_stat_activity where application_name = 'workerpool claim' and datname = current_database()"
)


async def test_a_claim_that_arrives_after_it_was_given_up_takes_nothing(scene: Scene) -> None:
    scene.tables.enqueue(QUEUE, ({"n": n} for n in range(5)))
    admin = await asyncpg.connect(scene.tables.url)
    with proxy_to(scene.tables.url) as network:
        endpoint = Endpoint(network.url(scene.tables.url), timeout=10.0)  # for connecting too
        source = PostgresSource(endpoint, Identity(uuid4(), "s", "here", 1, "0"), Lease(3600, lambda: 0.0))
        await source.open([Subscription(QUEUE, QUEUE)], list)
        await source.claim({QUEUE: 0})
        given_up = await admin.fetchval(CLAIM_SESSIONS)
        network.stall(new_too=False)
        with pytest.raises(SourceUnavailable):
            await source.claim({QUEUE: 5})
        jobs: list[Job] = []

        async def claimed() -> bool:
            with suppress(SourceUnavailable):
                jobs.extend(await source.claim({QUEUE: 2}))
            return bool(jobs)

        await eventually(claimed, "the next claim, on a connection that works, finds the jobs")
        network.heal()

        async def is_over() -> bool:
            return not await admin.fetchval("select exists (select from pg_stat_activity where pid = $1)", given_up)

        await eventually(is_over, "the late claim arrives, and its session ends")
        assert len([job for job in scene.tables.jobs() if job["boot"]]) == len(jobs) == 2
        jobs += await source.claim({QUEUE: 5})
        assert await source.settle([Settlement(job, SUCCEEDED, 0.1, "w") for job in jobs]) == []
        await source.close()
    await admin.close()
    assert len(scene.tables.history()) == 5
