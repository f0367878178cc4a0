"""Opening asyncpg connections for the engine and turning their failures into ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from workerpool.errors import ConfigError, PayloadError, SchemaError, SourceError, SourceUnavailable
from workerpool.redaction import redact
from workerpool_contract.urls import describe

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg makes of a session that is ended at an unlucky moment ("cannot switch to state …").
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    ConnectionError,
    TimeoutError,
    OSError,
)
"""Failures that another try may cure."""

TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
TRANSIENT_STATES = ("25006", "55P03")
"""The same as SQLSTATEs: connections, conflicts, resources used up, shutdowns; a standby, a lock not to be had now."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a database is and how to talk to it.

    ``pooled``: through PgBouncer in transaction mode: no prepared statement outlives a transaction, no LISTEN.
    ``timeout``: deadline in seconds for every statement and for connecting.
    """

    url: str = field(repr=False)
    pooled: bool = False
    timeout: float = 10.0


async def connect(endpoint: Endpoint, *, role: str, flush: bool = True, timeout: float | None = None) -> Connection:
    """One connection; ``role`` shows in pg_stat_activity. Raises ConfigError or SourceUnavailable, without secrets.

    ``flush`` False: commits don't wait for the disk, for what may be lost with the server without harm. ``timeout``:
    deadline of its statements in seconds, when not the endpoint's.
    """
    settings = {"application_name": f"workerpool {role}"} | ({} if flush else {"synchronous_commit": "off"})
    async with translated(endpoint):
        return await asyncpg.connect(
            endpoint.url,
            timeout=endpoint.timeout,
            command_timeout=timeout or endpoint.timeout,
            statement_cache_size=0 if endpoint.pooled else 100,
            server_settings=None if endpoint.pooled else settings,
        )


@asynccontextmanager
async def translated(endpoint: Endpoint) -> AsyncIterator[None]:
    """Raises what asyncpg raises as ConfigError, SchemaError, SourceUnavailable or SourceError."""
    try:
        yield
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise ConfigError(
            f"url: {describe(endpoint.url)} refused the login ({redact(str(error))}); "
            "check user and password in WORKERPOOL_URL or in the Secret that urlSecretRef names"
        ) from None
    except asyncpg.InvalidCatalogNameError as error:
        raise ConfigError(
            f"url: {redact(str(error))} on {describe(endpoint.url)}; create it or correct the last part of the URL"
        ) from None
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError) as error:
        raise SchemaError(
            f"{describe(endpoint.url)} lacks tables ({redact(str(error))}): run `workerpool migrate`"
        ) from None
    except asyncpg.InvalidTextRepresentationError as error:
        raise PayloadError(f"payload: not JSON ({redact(str(error))}); send one JSON value per job") from None
    except UNAVAILABLE as error:
        text = redact(str(error)) or type(error).__name__
        raise SourceUnavailable(f"{describe(endpoint.url)} can't be reached: {text}") from None
    except asyncpg.PostgresError as error:
        if _is_transient(error):
            raise SourceUnavailable(f"{describe(endpoint.url)} can't work now: {redact(str(error))}") from None
        raise SourceError(f"{describe(endpoint.url)}: {redact(str(error))}") from None
    except ValueError as error:
        raise ConfigError(
            f"url: {redact(str(error))}; expected postgresql://user:password@host:5432/database"
        ) from None


def _is_transient(error: asyncpg.PostgresError) -> bool:
    state = error.sqlstate or ""
    return state[:2] in TRANSIENT_CLASSES or state in TRANSIENT_STATES


async def close(connection: Connection | None) -> None:
    """Closes politely but not for long."""
    if connection is None or connection.is_closed():
        return
    try:
        await asyncio.wait_for(connection.close(), 2)
    except (*UNAVAILABLE, asyncpg.PostgresError):
        connection.terminate()
