"""pgqueuer on asyncpg: one entrypoint, one connection or a pool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.base import main
from benchmarks.peers.spec import Spec
from benchmarks.peers.tally import Tally

ENTRYPOINT = "bench"


class QueriesProducer:
    """Enqueues through its query layer, which is its public producer."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def single(self, number: int) -> None:
        """Enqueue one job."""
        await self._queries.enqueue(ENTRYPOINT, _payload(number))

    async def batch(self, numbers: Sequence[int]) -> None:
        """Enqueue many jobs by one statement."""
        count = len(numbers)
        await self._queries.enqueue([ENTRYPOINT] * count, [_payload(number) for number in numbers], [0] * count)


def _payload(number: int) -> bytes:
    return json.dumps({"number": number}).encode()


class Pgqueuer:
    """Options: batch_size, pool, max_concurrent_tasks (None: no limit), semaphore (limit inside the handler)."""

    async def setup(self, spec: Spec) -> None:
        """Install its schema."""
        connection = await asyncpg.connect(spec.url)
        await Queries.from_asyncpg_connection(connection).install()
        await connection.close()

    @asynccontextmanager
    async def producer(self, spec: Spec) -> AsyncIterator[QueriesProducer]:
        """A producer with a connection of its own."""
        connection = await asyncpg.connect(spec.url)
        yield QueriesProducer(Queries.from_asyncpg_connection(connection))
        await connection.close()

    async def work(self, spec: Spec, tally: Tally, stop: asyncio.Event) -> None:
        """Run its queue manager."""
        async with asyncpg.create_pool(spec.url, min_size=2, max_size=10) as pool, pool.acquire() as connection:
            pooled = spec.options["pool"]
            queue = PgQueuer.from_asyncpg_pool(pool) if pooled else PgQueuer.from_asyncpg_connection(connection)
            _register(queue, spec, tally)
            running = asyncio.create_task(
                queue.run(
                    batch_size=spec.options["batch_size"], max_concurrent_tasks=spec.options["max_concurrent_tasks"]
                )
            )
            await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            queue.shutdown.set()
            await running


def _register(queue: PgQueuer, spec: Spec, tally: Tally) -> None:
    """Bind the handler, behind a semaphore where the setting asks for one."""
    handle = tally.handler()
    slots = asyncio.Semaphore(spec.options["semaphore"]) if spec.options.get("semaphore") else None

    async def entry(job: Job) -> None:
        number = json.loads(job.payload or b"{}")["number"]
        if slots is None:
            await handle(number)
            return
        async with slots:
            await handle(number)

    queue.entrypoint(ENTRYPOINT)(entry)


if __name__ == "__main__":
    main(Pgqueuer())
