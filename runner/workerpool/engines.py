"""Which engine a WORKERPOOL_URL means: its scheme chooses, and only that engine's libraries are imported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workerpool.errors import ConfigError

if TYPE_CHECKING:
    from uuid import UUID

    from workerpool.sources.base import JobSource, Publisher

POSTGRES_SCHEMES = ("postgres", "postgresql")
EXAMPLE = "postgresql://user:password@host:5432/database"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a source must know of its runner. ``lease`` and ``retention`` in seconds; ``clock`` in monotonic seconds."""

    url: str = field(repr=False)
    boot: "UUID"
    name: str
    host: str
    pid: int
    version: str
    slots: int
    lease: float
    retention: float
    pooled: bool
    clock: Callable[[], float]


def open_source(options: SourceOptions) -> "JobSource":
    """The source for a URL, not yet connected. Raises ConfigError for an unknown scheme or a missing extra."""
    require_postgres(options.url)
    from workerpool.sources.postgres.connection import Endpoint
    from workerpool.sources.postgres.source import PostgresSource
    from workerpool.sources.postgres.upkeep import Identity, Lease

    return PostgresSource(
        endpoint=Endpoint(options.url, pooled=options.pooled),
        identity=Identity(options.boot, options.name, options.host, options.pid, options.version),
        lease=Lease(options.lease, options.clock),
        slots=options.slots,
        retention=timedelta(seconds=options.retention),
    )


def open_publisher(url: str, *, pooled: bool = False) -> "Publisher":
    """The publisher for a URL, not yet connected. Raises ConfigError for an unknown scheme or a missing extra."""
    require_postgres(url)
    from workerpool.sources.postgres.connection import Endpoint
    from workerpool.sources.postgres.publisher import PostgresPublisher

    return PostgresPublisher(Endpoint(url, pooled=pooled))


def require_postgres(url: str) -> None:
    """Raises ConfigError unless the URL names Postgres and its driver is installed."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme
        if "," not in parts.netloc:  # Several hosts, each with a port of its own, are the driver's business.
            _ = parts.port
    except ValueError:
        raise ConfigError(f"url: host or port can't be read; use {EXAMPLE}") from None
    if scheme not in POSTGRES_SCHEMES:
        shown = repr(f"{scheme}://…") if scheme else "a text without scheme"
        raise ConfigError(f"url: {shown} names no known engine; use {EXAMPLE}")
    try:
        import asyncpg  # noqa: F401 - asked for, not used
    except ImportError:
        raise ConfigError("url: Postgres needs the extra: pip install 'workerpool[postgres]'") from None
