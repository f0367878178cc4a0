"""The app of the cluster tests, mounted into pods from a ConfigMap: each run tells the database who did it, and when.

It must not import anything but what is in the image of examples/ast. A payload is ``{"n": 7}`` plus what the handler
looks at. Tests read the table ``run`` (tests/e2e/kubernetes/runs.py); what the engine itself says is not asked.
RUNS_URL names the database where the jobs come from a broker.
"""

import asyncio
import os
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from examples.ast.workers import SourceFile, measure
from workerpool import worker

Payload = dict[str, Any]

_pools: list[asyncpg.Pool] = []


async def _begin(number: int) -> int:
    """Notes that a run of job ``number`` began; committed when this returns. The id of the run."""
    if not _pools:
        pool = asyncpg.create_pool(os.environ.get("RUNS_URL") or os.environ["WORKERPOOL_URL"], min_size=1, max_size=1)
        _pools.append(pool)
        await pool
    statement = "insert into run (n, pod) values ($1, $2) returning id"
    run: int = await _pools[0].fetchval(statement, number, os.environ["WORKERPOOL_WORKER_ID"])
    return run


async def _end(run: int, how: str) -> None:
    """Notes how a run ended: ``finished`` or ``cut``."""
    await _pools[0].execute("update run set ended = clock_timestamp(), how = $2 where id = $1", run, how)


async def _release(name: str) -> None:
    """Returns once the test has noted that the jobs which wait for ``name`` may end."""
    statement = "select pg_sleep(0.1), exists (select from released where name = $1)"
    while not await _pools[0].fetchval(statement, name, column=1):
        pass


@cache
def source_files() -> list[str]:
    """The source files of the image's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(str(path) for path in root.rglob("*.py") if not {"site-packages", "dist-packages"} & set(path.parts))


@worker(topic="files", concurrency=1)
async def parse(payload: Payload) -> dict[str, Any]:
    """What examples/ast does with a file: the one of this number, again from the first after the last.

    It takes ``seconds`` longer, so that a faster machine does not leave a test behind.
    """
    run = await _begin(payload["n"])
    await asyncio.sleep(payload.get("seconds", 0))
    files = source_files()
    path = files[payload["n"] % len(files)]
    measures = await asyncio.to_thread(measure, SourceFile(path=path, module=Path(path).stem))
    await _end(run, "finished")
    return measures.model_dump()


@worker(topic="long", concurrency=1)
async def take_time(payload: Payload) -> None:
    """Takes ``seconds``, and until the ``release`` in its payload, if there is one; tells when it was cut off."""
    run = await _begin(payload["n"])
    try:
        await asyncio.sleep(payload["seconds"])
        if "release" in payload:
            await _release(payload["release"])
    except asyncio.CancelledError:
        await _end(run, "cut")
        raise
    await _end(run, "finished")


@worker(topic="slow", concurrency=1)
async def take_time_too(payload: Payload) -> None:
    """The same on another queue, for a second pool."""
    await take_time(payload)
