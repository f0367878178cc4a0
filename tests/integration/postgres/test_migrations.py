"""Migrations: applied once whoever comes first, all or nothing each, and never behind a newer release's back."""

import asyncio

import asyncpg
import pytest

from tests.support.waiting import eventually
from workerpool.errors import SchemaError, SourceError
from workerpool.sources.postgres import migrate as module
from workerpool.sources.postgres.migrate import Migration, available, check, compare, migrate


async def applied(url: str) -> list[int]:
    """The versions in the table of migrations, in the order of their application."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("select version from workerpool.migration order by applied_at, version")
    finally:
        await connection.close()
    return [row["version"] for row in rows]


async def test_several_migrators_at_once_apply_each_migration_once(empty_database: str) -> None:
    before = await asyncio.gather(*(migrate(empty_database) for _ in range(5)))
    assert any(state.pending for state in before)
    assert await applied(empty_database) == [migration.version for migration in available()]
    assert (await check(empty_database)).current


async def test_a_migration_is_dated_when_it_was_applied_and_not_when_its_turn_was_waited_for(
    empty_database: str,
) -> None:
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute("select pg_advisory_lock(hashtext('workerpool.migrate'))")
        migrating = asyncio.create_task(migrate(empty_database))
        waiting = "select exists (select from pg_locks where not granted)"
        await eventually(lambda: connection.fetchval(waiting), "the migration waits for its turn")
        turn = await connection.fetchval("select clock_timestamp()")
        await connection.execute("select pg_advisory_unlock_all()")
        await migrating
        assert await connection.fetchval("select min(applied_at) from workerpool.migration") > turn
    finally:
        await connection.close()


async def test_checking_changes_nothing(empty_database: str) -> None:
    state = await check(empty_database)
    assert (state.applied, state.unknown) == ((), ())
    assert state.pending == available()
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("select to_regnamespace('workerpool')") is None
    await connection.close()


async def test_migrating_twice_changes_nothing(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("select * from workerpool.enqueue('orders', '1')")
    state = await migrate(database)
    assert state.current
    assert await connection.fetchval("select count(*) from workerpool.job") == 1
    await connection.close()


async def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Migration(9001, "good", "create table workerpool.good (id int)")
    bad = Migration(9002, "bad", "create table workerpool.half (id int); select 1 / 0;")
    known = available()
    monkeypatch.setattr(module, "available", lambda: (*known, good, bad))
    with pytest.raises(SourceError, match="division by zero"):
        await migrate(empty_database)
    assert await applied(empty_database) == [*(migration.version for migration in known), 9001]
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("select to_regclass('workerpool.half')") is None
    await connection.close()
    monkeypatch.setattr(module, "available", lambda: (*known, good))
    assert (await check(empty_database)).current


async def test_a_database_of_a_newer_release_is_left_alone(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("insert into workerpool.migration (version, name, checksum) values (9999, 'later', 'x')")
    await connection.close()
    with pytest.raises(SchemaError, match=r"schema version 9999.*upgrade"):
        await migrate(database)
    assert (await check(database)).unknown == (9999,)


async def test_a_migration_gives_up_when_others_hold_its_tables(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not queue up before a busy table: everybody else would then wait behind it."""
    altering = Migration(9001, "altering", "alter table workerpool.job add column extra int")
    known = available()
    monkeypatch.setattr(module, "available", lambda: (*known, altering))
    monkeypatch.setattr(module, "LOCK_TIMEOUT", "50ms")
    reader = await asyncpg.connect(database)
    async with reader.transaction():
        await reader.execute("lock table workerpool.job in access share mode")
        with pytest.raises(SourceError, match="lock timeout"):
            await migrate(database)
    await reader.close()
    assert (await migrate(database)).pending == (altering,)


def test_states_are_compared_by_version() -> None:
    versions = {migration.version for migration in available()}
    assert compare(versions).current
    assert compare(set()).pending == available()
    assert compare({*versions, 9999}).unknown == (9999,)
