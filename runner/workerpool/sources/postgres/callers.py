"""Statements on a connection that the caller owns, inside the caller's transaction: asyncpg's, or psycopg's.

Parameters are sent as plain types and cast by the server, so that codecs and row factories that the caller has set on
the connection change nothing.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from workerpool.errors import ConfigError

TEXT_FIRST = {"json": "text::json", "json[]": "text[]::json[]"}
"""Sent as text: many applications teach their connections to write every json parameter by themselves."""


async def fetch_rows(
    connection: Any,  # noqa: ANN401 - two libraries' connections
    statement: str,
    kinds: Sequence[str],
    values: Sequence[object],
) -> Sequence[Sequence[Any]]:
    """The rows of ``statement``, whose {} stand for ``values`` of the SQL types ``kinds``.

    ``connection``: asyncpg's, or psycopg's, async or (it blocks the loop meanwhile) sync. Raises ConfigError for
    others, and whatever the caller's library raises.
    """
    library = _library(connection)
    if library == "asyncpg":
        marks = [f"${number}" for number in range(1, len(kinds) + 1)]
        rows: Sequence[Sequence[Any]] = await connection.fetch(_written(statement, marks, kinds), *values)
        return rows
    cursor = _cursor(connection)
    executed = cursor.execute(_written(statement, ["%s"] * len(kinds), kinds), values)
    if hasattr(executed, "__await__"):
        await executed
        rows = await cursor.fetchall()
    else:
        rows = cursor.fetchall()
    return rows


async def fetch_row(
    connection: Any,  # noqa: ANN401 - two libraries' connections
    statement: str,
    kinds: Sequence[str],
    values: Sequence[object],
) -> Sequence[Any]:
    """The one row of ``statement``; as ``fetch_rows``."""
    return (await fetch_rows(connection, statement, kinds, values))[0]


async def copy_rows(
    connection: Any,  # noqa: ANN401 - two libraries' connections
    table: tuple[str, str],
    columns: Sequence[str],
    lines: Iterable[bytes],
    timeout: float,
) -> None:
    """COPYs ``lines`` (COPY's text format, UTF-8) into ``table``, a schema and a name.

    ``timeout`` in seconds replaces the one that an asyncpg connection has for commands. Raises as ``fetch_rows``.
    """
    schema, name = table
    if _library(connection) == "asyncpg":
        await connection.copy_to_table(
            name, schema_name=schema, columns=columns, source=_each(lines), encoding="utf-8", timeout=timeout
        )
        return
    copying = _cursor(connection).copy(f"copy {schema}.{name} ({', '.join(columns)}) from stdin (encoding 'utf-8')")
    if hasattr(copying, "__aenter__"):
        async with copying as copy:
            for line in lines:
                await copy.write(line)
        return
    with copying as copy:
        for line in lines:
            copy.write(line)


@asynccontextmanager
async def together(connection: Any) -> AsyncIterator[None]:  # noqa: ANN401 - two libraries' connections
    """Several statements, all or none, without ending a transaction that is the caller's to end."""
    if _library(connection) == "psycopg" and not connection.autocommit:
        yield  # The first statement begins the caller's transaction; a block of ours would commit it.
        return
    transaction = connection.transaction()
    if hasattr(transaction, "__aenter__"):
        async with transaction:
            yield
        return
    with transaction:
        yield


def fetch_row_blocking(
    connection: Any,  # noqa: ANN401 - psycopg's
    statement: str,
    kinds: Sequence[str],
    values: Sequence[object],
) -> Sequence[Any]:
    """As ``fetch_row``, for sync handlers on psycopg's sync connection."""
    if _library(connection) == "asyncpg" or "Async" in type(connection).__name__:
        raise _unknown(connection, "psycopg.connect(…)")
    cursor = _cursor(connection)
    cursor.execute(_written(statement, ["%s"] * len(kinds), kinds), values)
    return _first(cursor.fetchone())


def _library(connection: object) -> str:
    library = type(connection).__module__.partition(".")[0]
    if library not in ("asyncpg", "psycopg"):
        raise _unknown(connection, "an asyncpg or psycopg connection (SQLAlchemy: the driver connection behind it)")
    return library


def _unknown(connection: object, cure: str) -> ConfigError:
    return ConfigError(f"connection: {type(connection).__name__} can't be used here; pass {cure}")


async def _each(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def _cursor(connection: Any) -> Any:  # noqa: ANN401 - psycopg's
    from psycopg.rows import tuple_row

    return connection.cursor(row_factory=tuple_row)


def _written(statement: str, marks: Sequence[str], kinds: Sequence[str]) -> str:
    return statement.format(*(f"{mark}::{TEXT_FIRST.get(kind, kind)}" for mark, kind in zip(marks, kinds, strict=True)))


def _first(row: Sequence[Any] | None) -> Sequence[Any]:
    assert row is not None, "these functions return one row"
    return row
