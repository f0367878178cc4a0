"""WorkerPool: its producer, and the runner as the operator starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from benchmarks.peers.base import main
from benchmarks.peers.spec import Spec, load
from benchmarks.peers.tally import Tally
from workerpool.producer import Producer, get_producer
from workerpool.sources.postgres.migrate import migrate
from workerpool_contract.names import ENV_APP, ENV_LOG_LEVEL, ENV_PROBE_HOST, ENV_PROBE_PORT, ENV_URL

QUEUE = "bench"
APP = "benchmarks.peers.workerpool_app"


class QueueProducer:
    """Enqueues by the public producer."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def single(self, number: int) -> None:
        """Send one job."""
        await self._producer.send(QUEUE, {"number": number})

    async def batch(self, numbers: Sequence[int]) -> None:
        """Enqueue many jobs by one call, which returns their ids."""
        await self._producer.enqueue_many(QUEUE, [{"number": number} for number in numbers])

    async def copy(self, numbers: Sequence[int]) -> None:
        """Load all jobs by COPY."""
        await self._producer.enqueue_bulk(QUEUE, ({"number": number} for number in numbers))


class WorkerPool:
    """Options: history (whether finished jobs are kept)."""

    async def setup(self, spec: Spec) -> None:
        """Apply the migrations, make the queue."""
        await migrate(spec.url)
        connection = await asyncpg.connect(spec.url)
        await connection.execute("SELECT workerpool.queue_id($1)", QUEUE)
        await connection.execute("UPDATE workerpool.queue SET history = $1", spec.options["history"])
        await connection.close()

    @asynccontextmanager
    async def producer(self, spec: Spec) -> AsyncIterator[QueueProducer]:
        """A producer with a connection of its own."""
        async with get_producer(spec.url) as producer:
            yield QueueProducer(producer)

    async def work(self, spec: Spec, tally: Tally, stop: asyncio.Event) -> None:
        """Never called: the runner is a program of its own, see `_become_runner`."""
        raise NotImplementedError


def _become_runner(path: str) -> None:
    """Turn this process into `workerpool run`, so that nothing of the benchmark but the handler is in it."""
    settings = {
        ENV_URL: load(path).url,
        ENV_APP: APP,
        ENV_PROBE_HOST: "127.0.0.1",
        ENV_PROBE_PORT: "0",
        ENV_LOG_LEVEL: "warning",
        "BENCH_SPEC": path,
    }
    command = [sys.executable, "-m", "workerpool", "run", "--all"]
    os.execve(command[0], command, os.environ | settings)  # noqa: S606 - the command is ours, no shell is involved


if __name__ == "__main__":
    if load(sys.argv[1]).role == "work":
        _become_runner(sys.argv[1])
    main(WorkerPool())
