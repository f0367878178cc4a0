"""The bare limit: asyncpg on a narrow table, no framework. Not a job queue: nothing retries, times out or recovers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from benchmarks.peers.base import main
from benchmarks.peers.spec import Spec
from benchmarks.peers.tally import Handle, Tally

TABLE = """
CREATE TABLE limit_job (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, taken boolean NOT NULL DEFAULT false, payload text NOT NULL
) WITH (fillfactor = 70)
"""
INSERT = "INSERT INTO limit_job (payload) SELECT unnest($1::text[])"
CLAIM = """
UPDATE limit_job SET taken = true FROM (
  SELECT id FROM limit_job WHERE NOT taken ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
) AS chosen WHERE limit_job.id = chosen.id RETURNING limit_job.id, limit_job.payload
"""
FINISH = "DELETE FROM limit_job WHERE id = ANY($1::bigint[])"
IDLE = 0.005
"""Seconds between two looks at an empty table."""

Rows = list[asyncpg.Record]


class LimitProducer:
    """Inserts straight into the table."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def single(self, number: int) -> None:
        """One INSERT, one commit."""
        await self._connection.execute(INSERT, [json.dumps({"number": number})])

    async def batch(self, numbers: Sequence[int]) -> None:
        """One INSERT of many rows."""
        await self._connection.execute(INSERT, [json.dumps({"number": number}) for number in numbers])

    async def copy(self, numbers: Sequence[int]) -> None:
        """COPY in the binary format."""
        rows = [(json.dumps({"number": number}),) for number in numbers]
        await self._connection.copy_records_to_table("limit_job", records=rows, columns=["payload"])


class Limit:
    """Claim `batch` rows, call the handler for each, delete them."""

    async def setup(self, spec: Spec) -> None:
        """Create the table."""
        connection = await asyncpg.connect(spec.url)
        await connection.execute(TABLE)
        await connection.close()

    @asynccontextmanager
    async def producer(self, spec: Spec) -> AsyncIterator[LimitProducer]:
        """A producer with a connection of its own."""
        connection = await asyncpg.connect(spec.url)
        yield LimitProducer(connection)
        await connection.close()

    async def work(self, spec: Spec, tally: Tally, stop: asyncio.Event) -> None:
        """The option `style` chooses: plain, task (one asyncio task per job), overlap (claim during the work)."""
        claimer, finisher = await asyncpg.connect(spec.url), await asyncpg.connect(spec.url)
        claim, finish = await claimer.prepare(CLAIM), await finisher.prepare(FINISH)
        style, batch = spec.options["style"], spec.options["batch"]
        handle = tally.handler()
        rows: Rows = await claim.fetch(batch)
        while not stop.is_set():
            ahead = asyncio.create_task(claim.fetch(batch)) if style == "overlap" else None
            if rows:
                await _call(handle, rows, as_tasks=style == "task")
                await finish.fetch([row["id"] for row in rows])
            else:
                await asyncio.sleep(IDLE)
            rows = await (ahead or claim.fetch(batch))
        await claimer.close()
        await finisher.close()


async def _call(handle: Handle, rows: Rows, *, as_tasks: bool) -> None:
    """Run the handler for every row, one after the other or each in a task of its own."""
    calls = (handle(json.loads(row["payload"])["number"]) for row in rows)
    if as_tasks:
        await asyncio.gather(*calls)
        return
    for call in calls:
        await call


if __name__ == "__main__":
    main(Limit())
