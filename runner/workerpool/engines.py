"""Which engine a WORKERPOOL_URL means: its scheme chooses, and only that engine's libraries are imported."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from workerpool.errors import ConfigError
from workerpool_contract.environment import RunnerSettings
from workerpool_contract.rabbitmq import queue_problem
from workerpool_contract.source import PostgresMode

if TYPE_CHECKING:
    from uuid import UUID

    from workerpool.sources.administration import Administration
    from workerpool.sources.base import JobSource, Publisher
    from workerpool.sources.checks import Check
    from workerpool.sources.rabbitmq.endpoint import Endpoint as Broker

POSTGRES_SCHEMES = ("postgres", "postgresql")
RABBITMQ_SCHEMES = ("amqp", "amqps")
EXAMPLE = "postgresql://user:password@host:5432/database"
BROKER_EXAMPLE = "amqp://user:password@host:5672/vhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What a URL doesn't say of its engine. ``pooled``: Postgres behind a pooler; the rest is about RabbitMQ.

    ``ca_file``: private authority of its certificate. ``delivery_limit``: of queues that are declared. ``max_payload``:
    bytes of a message that a runner takes.
    """

    pooled: bool = False
    ca_file: str | None = None
    delivery_limit: int = RunnerSettings().rabbitmq_delivery_limit
    management_url: str | None = field(default=None, repr=False)
    max_payload: int = RunnerSettings().max_payload

    @classmethod
    def of(cls, settings: RunnerSettings) -> Self:
        """Those of a process's settings."""
        return cls(
            pooled=settings.postgres_mode == PostgresMode.POOLED.value,
            ca_file=settings.rabbitmq_ca_file,
            delivery_limit=settings.rabbitmq_delivery_limit,
            management_url=settings.rabbitmq_management_url,
            max_payload=settings.max_payload,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What a source must know of its runner. ``lease`` and ``retention`` in seconds.

    ``job_timeout``: seconds after which each of its jobs has ended, None when nobody knows.
    ``clock``: monotonic seconds; ``wall``: unix seconds.
    """

    url: str = field(repr=False)
    boot: "UUID"
    name: str
    host: str
    pid: int
    version: str
    slots: int
    lease: float
    retention: float
    clock: Callable[[], float]
    wall: Callable[[], float] = time.time
    engine: EngineOptions = field(default_factory=EngineOptions)
    job_timeout: float | None = None


def open_source(options: SourceOptions) -> "JobSource":
    """The source for a URL, not yet connected. Raises ConfigError for an unknown scheme or a missing extra."""
    require_engine(options.url)
    if is_broker(options.url):
        from workerpool.sources.rabbitmq.source import Identity as Runner
        from workerpool.sources.rabbitmq.source import RabbitmqSource

        return RabbitmqSource(
            replace(_broker(options.url, options.engine), job_timeout=options.job_timeout),
            Runner(options.boot, options.name),
            options.slots,
            max_payload=options.engine.max_payload,
            wall=options.wall,
            clock=options.clock,
        )
    from workerpool.sources.postgres.connection import Endpoint
    from workerpool.sources.postgres.source import PostgresSource
    from workerpool.sources.postgres.upkeep import Identity, Lease

    return PostgresSource(
        endpoint=Endpoint(options.url, pooled=options.engine.pooled),
        identity=Identity(options.boot, options.name, options.host, options.pid, options.version),
        lease=Lease(options.lease, options.clock),
        slots=options.slots,
        retention=timedelta(seconds=options.retention),
    )


def open_publisher(url: str, options: EngineOptions) -> "Publisher":
    """The publisher for a URL, not yet connected. Raises ConfigError for an unknown scheme or a missing extra."""
    require_engine(url)
    if is_broker(url):
        from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher

        return RabbitmqPublisher(_broker(url, options))
    from workerpool.sources.postgres.connection import Endpoint
    from workerpool.sources.postgres.publisher import PostgresPublisher

    return PostgresPublisher(Endpoint(url, pooled=options.pooled))


def open_administration(url: str, options: EngineOptions) -> "Administration":
    """The administration for a URL, not yet connected. Raises ConfigError as ``open_publisher``."""
    require_engine(url)
    if is_broker(url):
        from workerpool.sources.rabbitmq.admin import RabbitmqAdmin

        return RabbitmqAdmin(_broker(url, options), management_url=options.management_url)
    from workerpool.sources.postgres.admin import PostgresAdmin
    from workerpool.sources.postgres.connection import Endpoint

    return PostgresAdmin(Endpoint(url, pooled=options.pooled))


def examine(url: str, settings: RunnerSettings) -> "AsyncIterator[Check]":
    """The doctor's checks. Raises ConfigError as ``open_publisher``; what it examines is never an error."""
    require_engine(url)
    options = EngineOptions.of(settings)
    if is_broker(url):
        from workerpool.sources.rabbitmq.admin_doctor import examine as examine_broker

        return examine_broker(_broker(url, options), options.management_url)
    from workerpool.sources.postgres.admin_doctor import Patient
    from workerpool.sources.postgres.admin_doctor import examine as examine_postgres

    return examine_postgres(Patient(url, options.pooled, settings.lease, settings.job_timeout))


def is_broker(url: str) -> bool:
    """Whether the URL names RabbitMQ."""
    return url.partition("://")[0].lower() in RABBITMQ_SCHEMES


def require_engine(url: str) -> None:
    """Raises ConfigError unless the URL names an engine whose driver is installed."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme
        if "," not in parts.netloc:  # Several hosts, each with a port of its own, are the driver's business.
            _ = parts.port
    except ValueError:
        raise ConfigError(f"url: host or port can't be read; use {EXAMPLE} or {BROKER_EXAMPLE}") from None
    if scheme not in (*POSTGRES_SCHEMES, *RABBITMQ_SCHEMES):
        shown = repr(f"{scheme}://…") if scheme else "a text without scheme"
        raise ConfigError(f"url: {shown} names no known engine; use {EXAMPLE} or {BROKER_EXAMPLE}")
    module, extra = ("aio_pika", "rabbitmq") if scheme in RABBITMQ_SCHEMES else ("asyncpg", "postgres")
    if find_spec(module) is None:
        raise ConfigError(f"url: {scheme}:// needs the extra: pip install 'workerpool[{extra}]'")


def require_names(url: str, names: Iterable[tuple[str, str]]) -> None:
    """Raises ConfigError for a queue or topic that the engine can't have; each is given as what it is and its name."""
    if is_broker(url):
        for what, name in names:
            problem = queue_problem(name)
            if problem:
                raise ConfigError(f"{what}={name!r} {problem}")


def require_postgres(url: str, what: str) -> None:
    """As ``require_engine``, and raises ConfigError for another engine than Postgres: ``what`` says what it lacks."""
    require_engine(url)
    if is_broker(url):
        raise ConfigError(f"url: {what}")


def _broker(url: str, options: EngineOptions) -> "Broker":
    from workerpool.sources.rabbitmq.endpoint import Endpoint as Broker

    return Broker(url, options.ca_file, options.delivery_limit)
