"""Versioned migrations: plan, check and apply. Each file runs in a transaction of its own, under an advisory lock."""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from workerpool.errors import SchemaError
from workerpool.sources.postgres.connection import Connection, Endpoint, close, connect, translated
from workerpool_contract.urls import describe

LOCK_TIMEOUT = "5s"
"""A migration that can't get its locks in this time gives up instead of queueing everybody behind it."""

HAS_TABLE = (
    "select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
    "where n.nspname = 'workerpool' and c.relname = 'migration')"
)
"""Not to_regclass: after waiting for another migrator it would answer from this session's outdated cache."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the migrations folder: ``0001_engine.sql`` is version 1, name ``engine``."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Tells an edited file from the one that was applied."""
        return sha256(self.sql.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SchemaState:
    """A database's migrations.

    ``applied``: versions it has. ``pending``: migrations of this release that it lacks. ``unknown``: versions that only
    a newer release has.
    """

    applied: tuple[int, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[int, ...]

    @property
    def current(self) -> bool:
        """Whether this release and the database agree."""
        return not self.pending and not self.unknown


def available() -> tuple[Migration, ...]:
    """The migrations of this release, in order."""
    folder = files("workerpool.sources.postgres").joinpath("migrations")
    found = [
        Migration(int(match[1]), match[2], entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if (match := re.fullmatch(r"(\d{4})_(\w+)\.sql", entry.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def compare(applied: set[int]) -> SchemaState:
    """What a database with these versions lacks or has too much."""
    known = {migration.version for migration in available()}
    return SchemaState(
        applied=tuple(sorted(applied)),
        pending=tuple(migration for migration in available() if migration.version not in applied),
        unknown=tuple(sorted(applied - known)),
    )


async def state(connection: Connection) -> SchemaState:
    """Reads which migrations a database has; an empty database has none."""
    if not await connection.fetchval(HAS_TABLE):
        return compare(set())
    rows = await connection.fetch("select version from workerpool.migration")
    return compare({row["version"] for row in rows})


def require(found: SchemaState, url: str) -> None:
    """Raises SchemaError with the cure unless the database fits this release."""
    if found.unknown:
        newest = max(found.unknown)
        raise SchemaError(
            f"{describe(url)} has schema version {newest}, this release knows {len(available())}: upgrade workerpool"
        )
    if found.pending:
        names = ", ".join(f"{migration.version} {migration.name}" for migration in found.pending)
        raise SchemaError(f"{describe(url)} lacks migrations ({names}): run `workerpool migrate`")


async def check(url: str) -> SchemaState:
    """The state of the database at ``url``. Raises SourceUnavailable, ConfigError."""
    # As through a pooler, whether or not there is one: nothing here gains from prepared statements.
    endpoint = Endpoint(url, pooled=True)
    connection = await connect(endpoint, role="migrate")
    try:
        async with translated(endpoint), connection.transaction():
            return await state(connection)
    finally:
        await close(connection)


async def migrate(url: str) -> SchemaState:
    """Applies what is pending and returns the state before; several processes may call it at once.

    Raises SchemaError when the database is ahead of this release, SourceUnavailable, ConfigError.
    """
    endpoint = Endpoint(url, pooled=True, timeout=60)
    connection = await connect(endpoint, role="migrate")
    try:
        async with translated(endpoint):
            async with connection.transaction():
                before = await state(connection)
            if before.unknown:
                require(before, url)
            while await _apply_next(connection):
                pass
            return before
    finally:
        await close(connection)


async def _apply_next(connection: Connection) -> bool:
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext('workerpool.migrate'))")
        pending = (await state(connection)).pending
        if not pending:
            return False
        migration = pending[0]
        await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute("set local client_min_messages = warning")
        await connection.execute(migration.sql)
        await connection.execute(
            "create table if not exists workerpool.migration (version int primary key, name text not null, "
            "checksum text not null, applied_at timestamptz not null default now())"
        )
        await connection.execute(
            # The column's default is when the transaction began, before it waited for the lock.
            "insert into workerpool.migration (version, name, checksum, applied_at) "
            "values ($1, $2, $3, clock_timestamp())",
            migration.version,
            migration.name,
            migration.checksum,
        )
        return True
