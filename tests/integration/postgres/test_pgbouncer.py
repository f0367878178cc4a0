"""Through PgBouncer in transaction mode: the promises of a source, and a whole runner."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from tests.conformance.engine import Engine, Stage
from tests.conformance.engines import PostgresAdapter, postgres
from tests.conformance.test_claim import (
    test_a_claim_keeps_the_limit_of_each_queue,
    test_concurrent_consumers_never_share_a_job,
)
from tests.conformance.test_enqueue import (
    test_a_due_job_wakes_a_waiting_consumer,
    test_a_unique_key_admits_one_unfinished_job_per_queue,
    test_many_jobs_come_in_the_order_of_enqueueing_and_ids_belong_to_their_payloads,
)
from tests.conformance.test_leases import (
    test_a_late_outcome_changes_nothing_and_is_told,
    test_a_lease_is_renewed_while_the_job_is_held,
    test_a_lease_that_ran_out_is_reclaimed_and_one_crash_charged,
    test_progress_of_a_lost_job_is_refused,
)
from tests.conformance.test_settle import (
    test_a_batch_of_different_outcomes_is_carried_out,
    test_a_dead_letter_keeps_everything_about_the_job,
    test_progress_is_recorded_in_order,
)
from tests.conformance.test_topics import test_each_group_gets_every_message
from tests.support.pgbouncer import bouncing
from tests.support.postgres import USER, Server
from tests.support.waiting import DEADLINE, eventually
from workerpool.producer import Producer, publish
from workerpool.registry import REGISTRY
from workerpool.runner import Runner
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.publisher import PostgresPublisher
from workerpool.worker import definition_of, worker
from workerpool_contract.environment import RunnerSettings

__all__ = [
    "test_a_batch_of_different_outcomes_is_carried_out",
    "test_a_claim_keeps_the_limit_of_each_queue",
    "test_a_dead_letter_keeps_everything_about_the_job",
    "test_a_due_job_wakes_a_waiting_consumer",
    "test_a_late_outcome_changes_nothing_and_is_told",
    "test_a_lease_is_renewed_while_the_job_is_held",
    "test_a_lease_that_ran_out_is_reclaimed_and_one_crash_charged",
    "test_a_unique_key_admits_one_unfinished_job_per_queue",
    "test_concurrent_consumers_never_share_a_job",
    "test_each_group_gets_every_message",
    "test_many_jobs_come_in_the_order_of_enqueueing_and_ids_belong_to_their_payloads",
    "test_progress_is_recorded_in_order",
    "test_progress_of_a_lost_job_is_refused",
]


@pytest.fixture(scope="module")
def bouncer(postgres_server: Server) -> Iterator[int]:
    """The port of a PgBouncer with fewer server connections than clients."""
    with bouncing(postgres_server, pool=3) as port:
        yield port


@pytest.fixture
def pooled_url(bouncer: int, database: str) -> str:
    """The fresh database through PgBouncer."""
    return f"postgresql://{USER}@127.0.0.1:{bouncer}/{database.rpartition('/')[2]}"


@pytest.fixture
async def engine(pooled_url: str, database: str) -> AsyncIterator[Engine]:
    async with postgres(pooled_url, database, pooled=True) as adapter:
        yield adapter


@pytest.fixture
async def stage(engine: PostgresAdapter) -> AsyncIterator[Stage]:
    stage = Stage(engine)
    yield stage
    await stage.close()


async def test_a_whole_runner_works_through_pgbouncer(pooled_url: str, database: str) -> None:
    with REGISTRY.scoped():

        @worker(topic="orders", concurrency=5, output_topic="invoices", max_retries=1)
        async def bill(order: int) -> int:
            if order == 13:
                raise ValueError("unlucky")
            await publish("audit", order)
            return order * 2

        definitions = [definition_of(bill)]
    settings = RunnerSettings(
        url=pooled_url,
        postgres_mode="Pooled",
        probe_host="127.0.0.1",
        probe_port=0,
        retry_backoff="fixed",
        retry_initial_delay=0.0,
        poll_interval=0.2,
    )
    runner = Runner(settings, definitions)
    running = asyncio.create_task(runner.run())
    admin = await asyncpg.connect(database)

    async def all_settled() -> bool:
        return bool(await admin.fetchval("select count(*) = 200 from workerpool.history"))

    async with (
        asyncio.timeout(DEADLINE * 4),
        Producer(PostgresPublisher(Endpoint(pooled_url, pooled=True))) as producer,
    ):
        await runner.started.wait()
        await producer.enqueue_many("orders", range(200))
        await eventually(all_settled, "the end of 200 jobs", within=DEADLINE * 3)
        runner.stop()
        await running
    states = {row[0]: row[1] for row in await admin.fetch("select state, count(*) from workerpool.history group by 1")}
    assert states == {"completed": 199, "dead": 1}
    readings = await admin.fetch("select queue, ready from workerpool.backlog('{invoices,audit}')")
    backlog = {row["queue"]: row["ready"] for row in readings}
    assert backlog == {"invoices": 199, "audit": 199}
    await admin.close()
