"""The WorkerPool resource: what a user writes. One manifest names a queue, the code that works on it, and how fast.

Cross-field rules are written twice on purpose: here for every reader in Python, and as CEL in the CRD so that the API
server refuses a bad object too. A test keeps both in step.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Strict, StringConstraints, field_validator, model_validator

from workerpool_contract import names
from workerpool_contract.archive import ArchiveSpec
from workerpool_contract.model import (
    Model,
    ModuleName,
    ObjectName,
    PoolName,
    Port,
    PositiveSeconds,
    Replicas,
    Seconds,
    WorkerName,
    misfit,
)
from workerpool_contract.podtemplate import LabelKey, LabelValue, PodTemplateDocument
from workerpool_contract.scaling import Scaling
from workerpool_contract.secretrefs import Role, SecretUse
from workerpool_contract.source import Source
from workerpool_contract.status import WorkerPoolStatus

DRAIN_MARGIN_SECONDS = 15
APP_OR_BUILTIN = "exactly one of app and builtin is needed; set app to your module, or builtin to s3-archive"
ARCHIVE_NEEDS_BUILTIN = (
    "archive is required with builtin s3-archive and allowed only there; set both ({} is enough), or remove archive"
)
NAMES_NEED_APP = "names choose among the workers of app, and a builtin is one worker; remove names"


class Backoff(StrEnum):
    """How the delay grows from one retry to the next."""

    EXPONENTIAL = "Exponential"
    LINEAR = "Linear"
    FIXED = "Fixed"


class Builtin(StrEnum):
    """The workers that come with WorkerPool."""

    S3_ARCHIVE = "s3-archive"


class WorkerSpec(Model):
    """The code that runs the jobs, and how much of it per replica."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[!-~]+$")] | None = Field(
        default=None,
        description=(
            "Container image with the runner and your code; unset: the operator's default. Not used on one machine."
        ),
    )
    app: ModuleName | None = Field(
        default=None, description="Python module that defines the workers, for example shop.workers."
    )
    builtin: Builtin | None = Field(
        default=None,
        description="A worker that comes with WorkerPool, instead of app. s3-archive: stores each job of the queue as "
        "an object in an S3 server.",
    )
    archive: ArchiveSpec | None = Field(
        default=None, description="Where s3-archive stores what, and how; only with that builtin, and required there."
    )
    names: tuple[WorkerName, ...] = Field(
        default=(),
        max_length=64,
        description="Run only these workers of the module; empty: those that consume the queue.",
    )
    concurrency: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = Field(
        default=None, description="Jobs that one process runs at the same time; unset: as each worker declares."
    )
    processes: Annotated[int, Strict(), Field(ge=1, le=64)] = Field(
        default=1,
        description="Processes per replica, each with its own concurrency; more than 1 uses more than one core.",
    )
    job_timeout_seconds: PositiveSeconds = Field(
        default=300, description="A job that runs longer than this is stopped and retried or dead-lettered."
    )
    drain_timeout_seconds: Seconds | None = Field(
        default=None,
        description="Time that a stopping replica gets to finish its jobs; at least jobTimeoutSeconds. "
        "Unset: jobTimeoutSeconds plus 15.",
    )
    pod_template: PodTemplateDocument = Field(
        default_factory=dict,
        description="Partial PodTemplateSpec (metadata and spec) merged over the generated one: env, resources, "
        "volumes, affinity. Lists of named things are merged by name, other lists are replaced. Null removes what is "
        "generated, but plain kubectl apply drops nulls: use --server-side, or an empty list. "
        "The runner's container is called runner. Not used on one machine.",
    )

    @field_validator("names")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(value):
            if name in value[:index]:
                raise misfit(f"{name!r} is there twice; remove one", index)
        return value

    @property
    def effective_drain_timeout_seconds(self) -> int:
        """The drain timeout in force, in seconds."""
        if self.drain_timeout_seconds is None:
            return self.job_timeout_seconds + DRAIN_MARGIN_SECONDS
        return self.drain_timeout_seconds

    @model_validator(mode="after")
    def _one_worker(self) -> "WorkerSpec":
        if (self.app is None) == (self.builtin is None):
            raise misfit(APP_OR_BUILTIN, "app")
        if self.builtin is not None and self.names:
            raise misfit(NAMES_NEED_APP, "names")
        if (self.builtin is Builtin.S3_ARCHIVE) != (self.archive is not None):
            raise misfit(ARCHIVE_NEEDS_BUILTIN, "archive")
        return self

    @model_validator(mode="after")
    def _drain_covers_a_job(self) -> "WorkerSpec":
        drain, timeout = self.drain_timeout_seconds, self.job_timeout_seconds
        if drain is not None and drain < timeout:
            words = (
                f"drainTimeoutSeconds {drain} is below jobTimeoutSeconds {timeout}: a drain would cut off jobs; "
                "raise drainTimeoutSeconds or lower jobTimeoutSeconds"
            )
            raise misfit(words, "drainTimeoutSeconds")
        return self


class Retry(Model):
    """Overrides of the retry policy that the workers declare; each unset field leaves the worker's own value."""

    max_retries: Annotated[int, Strict(), Field(ge=0, le=1000)] | None = Field(
        default=None, description="Retries after the first attempt; 0 dead-letters at the first failure."
    )
    backoff: Backoff | None = Field(
        default=None,
        description="Exponential: 1, 2, 4 times the initial delay. Linear: 1, 2, 3 times. Fixed: always the same.",
    )
    initial_delay_seconds: Seconds | None = Field(default=None, description="Delay before the first retry, in seconds.")
    max_delay_seconds: Seconds | None = Field(default=None, description="No delay is longer than this, in seconds.")

    @model_validator(mode="after")
    def _delays_in_order(self) -> "Retry":
        initial, longest = self.initial_delay_seconds, self.max_delay_seconds
        if initial is not None and longest is not None and initial > longest:
            words = f"initialDelaySeconds {initial} is above maxDelaySeconds {longest}; lower one or raise the other"
            raise misfit(words, "initialDelaySeconds")
        return self


class ProbeTiming(Model):
    """Timing of one probe; each unset field keeps the derived value."""

    period_seconds: Annotated[int, Strict(), Field(ge=1, le=3600)] | None = Field(
        default=None, description="Time between two probes, in seconds; unset: derived."
    )
    timeout_seconds: Annotated[int, Strict(), Field(ge=1, le=3600)] | None = Field(
        default=None, description="Time to answer, in seconds; unset: derived."
    )
    failure_threshold: Annotated[int, Strict(), Field(ge=1, le=1000)] | None = Field(
        default=None, description="Failures in a row that count as failed; unset: derived."
    )


class Probes(Model):
    """Overrides of the probes that the operator derives from the spec."""

    port: Port = Field(default=names.PROBE_PORT, description="Port of the runner's probes and metrics inside the pod.")
    startup: ProbeTiming = Field(
        default_factory=ProbeTiming, description="Time to begin: until it succeeds the other probes wait."
    )
    liveness: ProbeTiming = Field(
        default_factory=ProbeTiming, description="Whether the runner still works: one that fails it is restarted."
    )
    readiness: ProbeTiming = Field(
        default_factory=ProbeTiming, description="A runner that fails it counts as not ready."
    )


class WorkerPoolSpec(Model):
    """What the user wants: which queue, which code, how fast it must drain."""

    source: Source = Field(description="Where the jobs are: exactly one member. Its backlog sets the size of the pool.")
    worker: WorkerSpec = Field(
        description="The code that runs the jobs. The module says which queues it consumes; the rest says how many "
        "jobs a replica runs at a time and how long one may take."
    )
    retry: Retry = Field(
        default_factory=Retry,
        description="Overrides of the retry policy that the workers declare. Each unset field leaves the worker's own "
        "value. A job whose retries are used up becomes a dead letter.",
    )
    scaling: Scaling = Field(
        default_factory=Scaling,
        description=(
            "Bounds, targets and manners of the autoscaler. Replicas = (ready + in flight) / "
            "backlogPerReplica, rounded up, or as many as targetWaitSeconds needs; then tolerance, windows, "
            "rate limits, pause and bounds. An unknown backlog never removes replicas. status.reason tells "
            "each step."
        ),
    )
    probes: Probes = Field(
        default_factory=Probes,
        description="Overrides of the probes that the operator derives. They ask the runner itself over HTTP; a busy "
        "runner stays ready, and a database that is down restarts nothing.",
    )
    replicas: Replicas | None = Field(
        default=None,
        description=(
            "Pins the number of replicas and turns autoscaling off, minReplicas and maxReplicas included. Set "
            "it here or by kubectl scale; null (or leaving it out) turns autoscaling on again."
        ),
    )

    @property
    def secret_uses(self) -> tuple[SecretUse, ...]:
        """Every value that is taken from a Secret, for the source and for the worker."""
        archive = self.worker.archive.secrets if self.worker.archive else ()
        of_archive = (SecretUse(Role.S3, it.name, it.key, it.field, it.key_field, it.variable) for it in archive)
        return (*self.source.member.secret_uses, *of_archive)


class Metadata(Model):
    """The part of an object's metadata that WorkerPool reads; the rest belongs to Kubernetes."""

    model_config = ConfigDict(extra="ignore")

    name: PoolName = Field(description="Name of the pool: a DNS label of at most 52 characters.")
    namespace: ObjectName | None = Field(default=None, description="Namespace; not used on one machine.")
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, description="Labels for selecting: text to text.")
    annotations: dict[LabelKey, str] = Field(default_factory=dict, description="Annotations: text to text.")
    generation: int = Field(default=0, description="Moves when the spec changes; set by the API server.")


class WorkerPool(Model):
    """One manifest: a pool of workers for one queue."""

    api_version: Literal["workerpool.dev/v1"] = Field(
        description="Group and version of the resource: always workerpool.dev/v1."
    )
    kind: Literal["WorkerPool"] = Field(description="Kind of the resource: always WorkerPool.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: WorkerPoolSpec = Field(description="What the user wants.")
    status: WorkerPoolStatus | None = Field(default=None, description="What the operator observed and decided.")
