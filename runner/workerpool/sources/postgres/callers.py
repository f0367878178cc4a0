"""Statements on a connection that the caller owns, inside the caller's transaction: asyncpg's, or psycopg's.

Parameters are sent as plain types and cast by the server, so that codecs and row factories that the caller has set on
the connection change nothing.
"""

from collections.abc import Sequence
from typing import Any

from workerpool.errors import ConfigError

TEXT_FIRST = {"json": "text::json", "json[]": "text[]::json[]"}
"""Sent as text: many applications teach their connections to write every json parameter by themselves."""


async def fetch_row(connection: Any, statement: str, kinds: Sequence[str], values: Sequence[object]) -> Sequence[Any]:  # noqa: ANN401 - two libraries' connections
    """The first row of ``statement``, whose {} stand for ``values`` of the SQL types ``kinds``.

    ``connection``: asyncpg's, or psycopg's, async or (it blocks the loop meanwhile) sync. Raises ConfigError for
    others, and whatever the caller's library raises.
    """
    library = _library(connection)
    if library == "asyncpg":
        marks = [f"${number}" for number in range(1, len(kinds) + 1)]
        row: Sequence[Any] = await connection.fetchrow(_written(statement, marks, kinds), *values)
        return row
    cursor = _cursor(connection)
    executed = cursor.execute(_written(statement, ["%s"] * len(kinds), kinds), values)
    if not hasattr(executed, "__await__"):
        return _first(cursor.fetchone())
    await executed
    return _first(await cursor.fetchone())


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


def _cursor(connection: Any) -> Any:  # noqa: ANN401 - psycopg's
    from psycopg.rows import tuple_row

    return connection.cursor(row_factory=tuple_row)


def _written(statement: str, marks: Sequence[str], kinds: Sequence[str]) -> str:
    return statement.format(*(f"{mark}::{TEXT_FIRST.get(kind, kind)}" for mark, kind in zip(marks, kinds, strict=True)))


def _first(row: Sequence[Any] | None) -> Sequence[Any]:
    assert row is not None, "these functions return one row"
    return row
