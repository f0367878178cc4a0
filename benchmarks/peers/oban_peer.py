"""oban for Python: one worker class, psycopg pool; a batch is as large as its free slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from oban import Oban, worker
from oban.schema import install

from benchmarks.peers.base import main
from benchmarks.peers.spec import Spec
from benchmarks.peers.tally import Handle, Tally

QUEUE = "bench"


@worker(queue=QUEUE)
class Bench:
    """Passes its job to the handler of this process."""

    handle: Handle
    new: Callable[[dict[str, Any]], Any]  # the decorator's

    async def process(self, job: Any) -> None:  # noqa: ANN401 (oban needs a newer Python than the type checker sees)
        """One job."""
        await Bench.handle(job.args["number"])


class ObanProducer:
    """Enqueues through a client-only instance."""

    def __init__(self, oban: Oban) -> None:
        self._oban = oban

    async def single(self, number: int) -> None:
        """Enqueue one job."""
        await self._oban.enqueue(Bench.new({"number": number}))

    async def batch(self, numbers: Sequence[int]) -> None:
        """Enqueue many jobs by one call (its free edition sends one INSERT per job in one transaction)."""
        await self._oban.enqueue_many([Bench.new({"number": number}) for number in numbers])


class ObanPeer:
    """Options: limit, pool."""

    async def setup(self, spec: Spec) -> None:
        """Install its schema."""
        pool = await Oban.create_pool(spec.url, min_size=1, max_size=1)
        await install(pool)
        await pool.close()

    @asynccontextmanager
    async def producer(self, spec: Spec) -> AsyncIterator[ObanProducer]:
        """A client without queues."""
        pool = await Oban.create_pool(spec.url, min_size=1, max_size=2)
        yield ObanProducer(Oban(pool=pool))
        await pool.close()

    async def work(self, spec: Spec, tally: Tally, stop: asyncio.Event) -> None:
        """Run its queue with `limit` slots."""
        Bench.handle = staticmethod(tally.handler())
        pool = await Oban.create_pool(spec.url, min_size=2, max_size=spec.options["pool"])
        async with Oban(pool=pool, queues={QUEUE: spec.options["limit"]}):
            await stop.wait()
        await pool.close()


if __name__ == "__main__":
    main(ObanPeer())
