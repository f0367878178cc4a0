"""The settings of a runner process, and the environment that carries them from the operator to the runner.

The operator turns a spec into `RunnerSettings` and those into variables; the runner turns the variables back. One
table drives both directions, so they can't disagree.

Precedence: a WORKERPOOL_ variable, then the older names listed beside it (first listed wins), then the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from workerpool_contract import names
from workerpool_contract.amqp import DEFAULT_VHOST, AmqpParts
from workerpool_contract.model import DAY_SECONDS
from workerpool_contract.rabbitmq import DELIVERY_LIMIT
from workerpool_contract.rabbitmqsource import RabbitmqSource
from workerpool_contract.source import PostgresMode
from workerpool_contract.spec import DRAIN_MARGIN_SECONDS, Backoff, Builtin, WorkerPoolSpec
from workerpool_contract.variables import (
    Alias,
    SettingsError,
    Variable,
    choice,
    integer,
    plain,
    seconds,
    truth,
    web,
    words,
    write,
)

MILLI = 0.001
WEEK = 7 * DAY_SECONDS

__all__ = [
    "VARIABLES",
    "RunnerSettings",
    "SettingsError",
    "from_environment",
    "settings_of",
    "to_environment",
    "without_settings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """Everything that a runner process is told from outside. Durations are in seconds.

    None means that nobody said: ``concurrency`` and the retry fields then come from each worker's own declaration.
    ``url`` may hold a password: never log it as it is.
    """

    url: str | None = field(default=None, repr=False)
    app: str | None = None
    builtin: str | None = None
    workers: tuple[str, ...] = ()
    pool: str | None = None
    queue: str | None = None
    worker_id: str | None = None
    concurrency: int | None = None
    processes: int = 1
    job_timeout: float = 300.0
    drain_timeout: float | None = None
    max_retries: int | None = None
    retry_backoff: str | None = None
    retry_initial_delay: float | None = None
    retry_max_delay: float | None = None
    poll_interval: float | None = None
    lease: float = 30.0
    history_retention: float = float(WEEK)
    max_crashes: int = 3
    max_payload: int = 1_048_576
    postgres_mode: str = PostgresMode.DIRECT.value
    rabbitmq_host: str | None = None
    rabbitmq_port: int | None = None
    rabbitmq_vhost: str | None = None
    rabbitmq_username: str | None = None
    rabbitmq_password: str | None = field(default=None, repr=False)
    rabbitmq_tls: bool = False
    rabbitmq_ca_file: str | None = None
    rabbitmq_delivery_limit: int = DELIVERY_LIMIT
    rabbitmq_management_url: str | None = field(default=None, repr=False)
    probe_host: str = ""  # every address: the kubelet probes the pod's own, of either family
    probe_port: int = names.PROBE_PORT
    log_format: str = "text"
    log_level: str = "info"
    log_file: str | None = None
    temp_dir: str | None = None
    state_dir: str | None = None

    @property
    def effective_url(self) -> str | None:
        """URL of the source: ``url``, else the one that the broker's parts make, else None."""
        if self.url is not None or self.rabbitmq_host is None:
            return self.url
        return AmqpParts(
            host=self.rabbitmq_host,
            port=self.rabbitmq_port,
            vhost=self.rabbitmq_vhost or DEFAULT_VHOST,
            username=self.rabbitmq_username,
            password=self.rabbitmq_password,
            tls=self.rabbitmq_tls,
        ).url

    @property
    def effective_drain_timeout(self) -> float:
        """Seconds that running jobs get to finish when the runner is told to stop: unset, the job timeout plus 15."""
        return self.job_timeout + DRAIN_MARGIN_SECONDS if self.drain_timeout is None else self.drain_timeout


VARIABLES: tuple[Variable, ...] = (
    Variable(names.ENV_URL, "url", plain, (Alias("DATABASE_URL"), Alias("RABBITMQ_URL")), secret=True),
    Variable(names.ENV_APP, "app", plain),
    Variable(names.ENV_BUILTIN, "builtin", choice(*(b.value for b in Builtin))),
    Variable(names.ENV_WORKERS, "workers", words),
    Variable(names.ENV_POOL, "pool", plain),
    Variable(names.ENV_QUEUE, "queue", plain, (Alias("RABBITMQ_QUEUE"),)),
    Variable(names.ENV_WORKER_ID, "worker_id", plain, (Alias("WORKER_ID"),)),
    Variable(names.ENV_CONCURRENCY, "concurrency", integer(1, 1000)),
    Variable(names.ENV_PROCESSES, "processes", integer(1, 64)),
    Variable(names.ENV_JOB_TIMEOUT, "job_timeout", seconds(MILLI, WEEK), (Alias("JOB_TIMEOUT_MS", MILLI),)),
    Variable(names.ENV_DRAIN_TIMEOUT, "drain_timeout", seconds(0, WEEK)),
    Variable(
        names.ENV_MAX_RETRIES, "max_retries", integer(0, 1000), (Alias("WORKER_MAX_RETRIES"), Alias("MAX_RETRIES"))
    ),
    Variable(names.ENV_RETRY_BACKOFF, "retry_backoff", choice(*(b.value.lower() for b in Backoff))),
    Variable(
        names.ENV_RETRY_INITIAL_DELAY,
        "retry_initial_delay",
        seconds(0, WEEK),
        (Alias("WORKER_RETRY_BASE_DELAY_MS", MILLI),),
    ),
    Variable(
        names.ENV_RETRY_MAX_DELAY, "retry_max_delay", seconds(0, WEEK), (Alias("WORKER_RETRY_MAX_DELAY_MS", MILLI),)
    ),
    Variable(names.ENV_POLL_INTERVAL, "poll_interval", seconds(MILLI, 3600), (Alias("WORKER_POLL_INTERVAL_SECS"),)),
    Variable(names.ENV_LEASE, "lease", seconds(1, DAY_SECONDS)),
    Variable(names.ENV_HISTORY_RETENTION, "history_retention", seconds(60, 10 * 366 * DAY_SECONDS)),
    Variable(names.ENV_MAX_CRASHES, "max_crashes", integer(1, 1000)),
    Variable(names.ENV_MAX_PAYLOAD, "max_payload", integer(1, 1 << 30)),
    Variable(names.ENV_POSTGRES_MODE, "postgres_mode", choice(*(m.value for m in PostgresMode))),
    Variable(names.ENV_RABBITMQ_HOST, "rabbitmq_host", plain),
    Variable(names.ENV_RABBITMQ_PORT, "rabbitmq_port", integer(1, 65_535)),
    Variable(names.ENV_RABBITMQ_VHOST, "rabbitmq_vhost", plain),
    Variable(names.ENV_RABBITMQ_USERNAME, "rabbitmq_username", plain),
    Variable(names.ENV_RABBITMQ_PASSWORD, "rabbitmq_password", plain, secret=True),
    Variable(names.ENV_RABBITMQ_TLS, "rabbitmq_tls", truth),
    Variable(names.ENV_RABBITMQ_CA_FILE, "rabbitmq_ca_file", plain),
    Variable(names.ENV_RABBITMQ_DELIVERY_LIMIT, "rabbitmq_delivery_limit", integer(1, 1_000_000)),
    Variable(names.ENV_RABBITMQ_MANAGEMENT_URL, "rabbitmq_management_url", web, secret=True),
    Variable(names.ENV_PROBE_HOST, "probe_host", plain),
    Variable(names.ENV_PROBE_PORT, "probe_port", integer(0, 65_535), (Alias("WORKER_HEALTH_PORT"),)),
    Variable(names.ENV_LOG_FORMAT, "log_format", choice("text", "json"), (Alias("LOG_FORMAT"),)),
    Variable(names.ENV_LOG_LEVEL, "log_level", choice("debug", "info", "warning", "error")),
    Variable(names.ENV_LOG_FILE, "log_file", plain),
    Variable(names.ENV_TEMP_DIR, "temp_dir", plain, (Alias("TEMP_DIR"),)),
    Variable(names.ENV_STATE_DIR, "state_dir", plain),
)


def from_environment(environ: Mapping[str, str]) -> RunnerSettings:
    """The settings that ``environ`` describes; raises SettingsError for the first variable that can't be used."""
    found = {variable.field: variable.read(environ) for variable in VARIABLES}
    if found["rabbitmq_host"] is not None and not environ.get(names.ENV_URL, "").strip():
        # An older name of the URL is weaker than this one: a job may have a DATABASE_URL of its own.
        found["url"] = None
    return RunnerSettings(**{name: value for name, value in found.items() if value is not None})


def to_environment(settings: RunnerSettings) -> dict[str, str]:
    """The variables that make a runner read exactly ``settings``; defaults are left out."""
    defaults = {it.name: it.default for it in fields(RunnerSettings)}
    return {
        variable.name: write(value)
        for variable in VARIABLES
        if (value := getattr(settings, variable.field)) != defaults[variable.field]
    }


def settings_of(pool: str, spec: WorkerPoolSpec, url: str, base: RunnerSettings | None = None) -> RunnerSettings:
    """The settings that every replica of ``pool`` shares; a platform replaces what differs per replica or machine.

    ``base`` fills in what a spec has no word for (lease, log format, limits); the spec's own fields always win. Its
    log file is left out: replicas can't share one.
    """
    retry, worker = spec.retry, spec.worker
    return replace(
        base or RunnerSettings(),
        url=url,
        app=worker.app,
        builtin=worker.builtin.value if worker.builtin else None,
        workers=worker.names,
        pool=pool,
        queue=spec.source.queue,
        concurrency=worker.concurrency,
        processes=worker.processes,
        job_timeout=float(worker.job_timeout_seconds),
        drain_timeout=float(worker.effective_drain_timeout_seconds),
        max_retries=retry.max_retries,
        retry_backoff=retry.backoff.value.lower() if retry.backoff else None,
        retry_initial_delay=_as_float(retry.initial_delay_seconds),
        retry_max_delay=_as_float(retry.max_delay_seconds),
        postgres_mode=(spec.source.postgres.mode if spec.source.postgres else PostgresMode.DIRECT).value,
        probe_port=spec.probes.port,
        log_file=None,
        **_broker(spec.source.rabbitmq),
    )


def _broker(source: RabbitmqSource | None) -> dict[str, Any]:
    """What the spec says of a broker besides its secrets; the base has no say in it."""
    return {
        "rabbitmq_host": source.host if source else None,
        "rabbitmq_port": source.port if source else None,
        "rabbitmq_vhost": source.vhost if source else None,
        "rabbitmq_username": None,
        "rabbitmq_password": None,
        "rabbitmq_tls": source is not None and source.host is not None and source.tls is not None,
        "rabbitmq_delivery_limit": source.delivery_limit if source else DELIVERY_LIMIT,
        "rabbitmq_management_url": None,
    }


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without any variable that a runner reads as a setting, older names included."""
    names_read = {variable.name for variable in VARIABLES}
    names_read.update(alias.name for variable in VARIABLES for alias in variable.aliases)
    return {name: value for name, value in environ.items() if name not in names_read}


def _as_float(value: int | None) -> float | None:
    return None if value is None else float(value)
