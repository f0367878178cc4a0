"""Handlers in threads send messages over the runner's own connection, or over their own in a transaction."""

import asyncio
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from tests.support.waiting import DEADLINE, eventually
from workerpool.context import JobContext
from workerpool.producer import get_producer, publish
from workerpool.registry import REGISTRY
from workerpool.runner import Runner
from workerpool.worker import definition_of, worker
from workerpool_contract.environment import RunnerSettings

pytestmark = pytest.mark.postgres

SENT = "select payload #>> '{}' from workerpool.job join workerpool.queue q on q.id = queue_id where q.name = 'parts'"


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with REGISTRY.scoped():
        yield


async def test_threads_publish_while_the_runner_does(database: str) -> None:
    def sync(order: int, ctx: JobContext) -> None:
        ctx.blocking.publish("parts", f"sync {order}")
        with psycopg.connect(database) as connection:
            ctx.blocking.publish("parts", "rolled back", connection=connection)
            connection.rollback()
            ctx.blocking.publish("parts", f"committed {order}", connection=connection)

    async def threaded(order: int, ctx: JobContext) -> None:
        await ctx.publish("parts", f"threaded {order}")
        await publish("parts", f"published {order}")
        await get_producer().send("parts", f"produced {order}")

    definitions = [
        definition_of(worker(topic="orders", max_retries=0)(sync)),
        definition_of(worker(topic="orders", max_retries=0, executor="thread")(threaded)),
    ]
    runner = Runner(RunnerSettings(url=database, probe_host="127.0.0.1", probe_port=0), definitions)
    running = asyncio.create_task(runner.run())
    admin = await asyncpg.connect(database)

    async def all_finished() -> bool:
        return bool(await admin.fetchval("select count(*) = 20 from workerpool.history"))

    async with asyncio.timeout(DEADLINE):
        await runner.started.wait()
    await get_producer().enqueue_many("orders", range(10))
    await eventually(all_finished, "the end of 20 jobs")
    runner.stop()
    await running
    sent = sorted(row[0] for row in await admin.fetch(SENT))
    words = ("sync", "committed", "threaded", "published", "produced")
    assert sent == sorted(f"{word} {number}" for word in words for number in range(10))
    await admin.close()
