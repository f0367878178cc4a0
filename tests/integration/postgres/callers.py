"""The connections that applications have: asyncpg, psycopg async and psycopg sync, used in one way by tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg
import psycopg
from psycopg.rows import dict_row

Library = Literal["asyncpg", "psycopg async", "psycopg sync"]
LIBRARIES: tuple[Library, ...] = ("asyncpg", "psycopg async", "psycopg sync")


class Rollback(Exception):
    """Raised by a test to roll its transaction back."""


@dataclass
class Caller:
    """An application's connection."""

    library: Library
    connection: Any

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction that is committed at the end of the block, or rolled back when it raises."""
        if self.library == "psycopg sync":
            with self.connection.transaction():
                yield
            return
        async with self.connection.transaction():
            yield

    async def execute(self, statement: str) -> None:
        """One statement without parameters."""
        done = self.connection.execute(statement)
        if hasattr(done, "__await__"):
            await done


@asynccontextmanager
async def calling(library: Library, url: str) -> AsyncIterator[Caller]:
    """A connection as applications set theirs up: rows as dicts, json written and read by a codec of their own."""
    if library == "asyncpg":
        connection: Any = await asyncpg.connect(url)
        await connection.set_type_codec("json", encoder=lambda value: f'"{value}"', decoder=str, schema="pg_catalog")
        yield Caller(library, connection)
        await connection.close()
    elif library == "psycopg async":
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row, autocommit=True) as connection:
            yield Caller(library, connection)
    else:
        with psycopg.connect(url, row_factory=dict_row, autocommit=True) as connection:
            yield Caller(library, connection)
