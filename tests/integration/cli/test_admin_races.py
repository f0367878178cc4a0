"""Administrators against runners and against each other: whoever comes second sees what the first one did."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.support.waiting import eventually
from workerpool.sources.administration import Change, DeadFilter, JobState
from workerpool.sources.postgres.admin import PostgresAdmin
from workerpool.sources.postgres.connection import Endpoint

BOOT = UUID(int=11)
CLAIM = (
    "select id from workerpool.claim($1, $2, array[workerpool.queue_id('orders')], array[$3::int], interval '1 min')"
)
FINISH = (
    "select workerpool.finish($1, array[queue_id], array[priority], array[id], array[claim], array[1], "
    "array[$3::text], array[60::float8], array['error'], array['no'], array['w'], array[null::json]) "
    "from workerpool.job where id = $2"
)
PROMOTE = "select * from workerpool.promote(array[workerpool.queue_id('orders')])"

Connection = Any


@pytest.fixture
async def runner(database: str) -> AsyncIterator[Connection]:
    """A connection that does what a runner does."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def admins(database: str) -> AsyncIterator[tuple[PostgresAdmin, PostgresAdmin]]:
    async with PostgresAdmin(Endpoint(database)) as one, PostgresAdmin(Endpoint(database)) as two:
        yield one, two


async def enqueue(runner: Connection, options: str = "") -> int:
    return int(await runner.fetchval(f"select id from workerpool.enqueue('orders', '1'{options})"))


async def behind(
    runner: Connection, first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[Change]]
) -> Change:
    """``second`` begins while ``first`` is done and not committed, waits for it, and sees what came of it."""
    transaction = runner.transaction()
    await transaction.start()
    await first()
    waiting = asyncio.ensure_future(second())

    async def blocked() -> bool:
        return bool(
            await runner.fetchval(
                "select count(*) from pg_stat_activity where datname = current_database() "
                "and application_name = 'workerpool admin' and wait_event_type = 'Lock'"
            )
        )

    await eventually(blocked, "the administrator waits for the runner")
    await transaction.commit()
    return await waiting


async def places(runner: Connection, job_id: int) -> list[str]:
    rows = await runner.fetch(
        "select 'job' as place from workerpool.job where id = $1 "
        "union all select 'delayed' from workerpool.delayed where id = $1 "
        "union all select 'dead' from workerpool.dead where id = $1 "
        "union all select 'ended ' || state from workerpool.history where id = $1",
        job_id,
    )
    return sorted(row["place"] for row in rows)


async def test_cancel_behind_a_claim_takes_the_job_from_the_runner(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await enqueue(runner, ", p_unique_key => 'k'")
    heard: asyncio.Queue[str] = asyncio.Queue()
    await runner.add_listener("workerpool", lambda *words: heard.put_nowait(str(words[-1])))
    change = await behind(runner, lambda: runner.fetch(CLAIM, BOOT, 1, 1), lambda: admins[0].cancel(job_id))
    assert (change.changed, change.before) == (True, JobState.IN_FLIGHT)
    assert await asyncio.wait_for(heard.get(), 45) == f"!{job_id}"
    assert await places(runner, job_id) == ["ended cancelled"]
    assert await runner.fetchval("select count(*) from workerpool.unique_key") == 0


async def test_cancel_behind_a_finish_changes_nothing(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await enqueue(runner)
    await runner.fetch(CLAIM, BOOT, 1, 1)
    change = await behind(
        runner, lambda: runner.fetch(FINISH, BOOT, job_id, "completed"), lambda: admins[0].cancel(job_id)
    )
    assert (change.changed, change.before) == (False, JobState.COMPLETED)
    assert await places(runner, job_id) == ["ended completed"]


async def test_cancel_behind_a_retry_finds_the_job_among_the_delayed(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await enqueue(runner, ", p_unique_key => 'k'")
    await runner.fetch(CLAIM, BOOT, 1, 1)
    change = await behind(runner, lambda: runner.fetch(FINISH, BOOT, job_id, "retry"), lambda: admins[0].cancel(job_id))
    assert (change.changed, change.before) == (True, JobState.DELAYED)
    assert await places(runner, job_id) == ["ended cancelled"]
    assert await runner.fetchval("select count(*) from workerpool.unique_key") == 0


async def _due(runner: Connection) -> int:
    job_id = await enqueue(runner, ", p_delay => 60")
    await runner.execute("update workerpool.delayed set due_at = now()")
    return job_id


async def test_cancel_behind_a_promotion_finds_the_job_among_the_ready(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await _due(runner)
    change = await behind(runner, lambda: runner.fetch(PROMOTE), lambda: admins[0].cancel(job_id))
    assert (change.changed, change.before) == (True, JobState.READY)
    assert await places(runner, job_id) == ["ended cancelled"]


async def test_retry_behind_a_promotion_makes_no_second_job(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await _due(runner)
    change = await behind(runner, lambda: runner.fetch(PROMOTE), lambda: admins[0].retry(job_id))
    assert (change.changed, change.before) == (False, JobState.READY)
    assert await places(runner, job_id) == ["job"]


async def test_two_retries_of_a_finished_job_run_it_once_more(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await enqueue(runner)
    await runner.fetch(CLAIM, BOOT, 1, 1)
    await runner.fetch(FINISH, BOOT, job_id, "completed")
    changes = await asyncio.gather(*(admin.retry(job_id) for admin in admins))
    assert sorted(it.changed for it in changes) == [False, True]
    assert await places(runner, job_id) == ["ended completed", "job"]


async def test_two_redrives_share_the_dead_letters(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workerpool.sources.postgres.admin.BATCH", 10)
    for _ in range(300):
        await enqueue(runner)
    for row in await runner.fetch(CLAIM, BOOT, 1, 300):
        await runner.fetch(FINISH, BOOT, row["id"], "dead")
    done = await asyncio.gather(*(admin.redrive(DeadFilter("orders")) for admin in admins))
    assert sum(done) == 300
    assert await runner.fetchval("select count(*) from workerpool.job") == 300
    assert await runner.fetchval("select count(*) from workerpool.dead") == 0


async def test_what_dies_again_meanwhile_is_not_redriven_again(
    runner: Connection, admins: tuple[PostgresAdmin, PostgresAdmin]
) -> None:
    job_id = await enqueue(runner)
    await runner.fetch(CLAIM, BOOT, 1, 1)
    await runner.fetch(FINISH, BOOT, job_id, "dead")
    lives = 0

    def die_again(_batch: int) -> None:
        nonlocal lives
        lives += 1

    redriving = asyncio.ensure_future(admins[0].redrive(DeadFilter("orders"), die_again))

    async def died_again() -> bool:
        await runner.fetch(CLAIM, BOOT, 2, 1)
        await runner.fetch(FINISH, BOOT, job_id, "dead")
        return redriving.done()

    await eventually(died_again, "the redrive ends although the job dies again and again")
    assert await redriving == 1
    assert lives == 1


async def test_in_the_thick_of_it_no_job_is_lost_doubled_or_left_with_its_key(database: str) -> None:
    """Runners and administrators at random; afterwards every job is in exactly one place."""
    dice = random.Random(7)
    async with AsyncExitStack() as stack:
        connections = [await asyncpg.connect(database) for _ in range(3)]
        for connection in connections:
            stack.push_async_callback(connection.close)
        admins = [await stack.enter_async_context(PostgresAdmin(Endpoint(database))) for _ in range(2)]
        ids = [await enqueue(connections[0], f", p_unique_key => 'k{n}'") for n in range(25)]

        async def run(connection: Connection, number: int) -> None:
            boot = UUID(int=100 + number)
            for turn in range(60):
                for row in await connection.fetch(CLAIM, boot, turn, 3):
                    await connection.fetch(FINISH, boot, row["id"], dice.choice(["completed", "retry", "dead"]))
                await connection.execute("update workerpool.delayed set due_at = now()")
                await connection.fetch(PROMOTE)

        async def administrate(admin: PostgresAdmin) -> None:
            for _ in range(60):
                act = dice.choice([admin.retry, admin.retry, admin.cancel])
                await act(dice.choice(ids))

        await asyncio.gather(*(run(it, n) for n, it in enumerate(connections)), *map(administrate, admins))
        for job_id in ids:
            found = await places(connections[0], job_id)
            assert found, f"job {job_id} is lost"
            assert len([place for place in found if not place.startswith("ended ")]) <= 1, (job_id, found)
        orphans = await connections[0].fetch(
            "select u.key from workerpool.unique_key u "
            "where not exists (select from workerpool.job j where j.id = u.job_id and j.unique_key = u.key) "
            "and not exists (select from workerpool.delayed d where d.id = u.job_id and d.unique_key = u.key)"
        )
        assert orphans == []
