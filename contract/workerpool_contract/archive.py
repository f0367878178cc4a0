"""The ready-made archive worker: what a manifest says about it, and the environment that carries it to a runner.

A message of the queue becomes an object in an S3 server, or a line of one when batches are on. ``ArchiveSpec`` is
`spec.worker.archive`; ``ArchiveSettings`` is what a runner is told. Keys come from a Secret only, so a spec never
holds one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Final, NamedTuple

from pydantic import Field, Strict, StringConstraints

from workerpool_contract import names
from workerpool_contract.model import Model, ObjectName, SecretKey
from workerpool_contract.variables import Alias, SettingsError, Variable, integer, plain, seconds, words, write

DEFAULT_QUEUE: Final = "raw_sessions"
DEFAULT_KEY: Final = "sessions/{user_id}/{session_uuid}.json"
DEFAULT_BATCH_KEY: Final = "batches/{date}/{hour}/{batch_id}.ndjson"
DEFAULT_CONTENT_TYPE: Final = "application/json"
DEFAULT_REGION: Final = "us-east-1"
MOST_MESSAGES: Final = 1000
MOST_BYTES: Final = 1 << 26
MOST_SECONDS: Final = 300
_CHARACTER = r"[^{}\x00-\x1f\x7f\\]"
_PLACEHOLDER = r"\{[^{}/\x00-\x1f\x7f\\]+\}"

KeyTemplateText = Annotated[
    str,
    StringConstraints(
        max_length=1024,
        pattern=rf"^([^/{{}}\x00-\x1f\x7f\\]|{_PLACEHOLDER})({_CHARACTER}|{_PLACEHOLDER})*$",
    ),
]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^{},/\x00-\x1f\x7f\\]+$")]


class ArchiveSecretRef(Model):
    """Where the keys of the S3 server are: a Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    access_key_key: SecretKey = Field(default="accessKey", description="Key of the access key inside the Secret.")
    secret_key_key: SecretKey = Field(default="secretKey", description="Key of the secret key inside the Secret.")
    endpoint_key: SecretKey | None = Field(
        default=None, description="Key of the endpoint inside the Secret; set, it is used instead of archive.endpoint."
    )
    region_key: SecretKey | None = Field(
        default=None, description="Key of the region inside the Secret; set, it is used instead of archive.region."
    )
    bucket_key: SecretKey | None = Field(
        default=None, description="Key of the bucket inside the Secret; set, it is used instead of archive.bucket."
    )


class ArchiveBatch(Model):
    """Many messages per object, one line each (NDJSON). A batch is stored when the first of its limits is reached."""

    max_messages: Annotated[int, Strict(), Field(ge=1, le=MOST_MESSAGES)] = Field(
        default=100,
        description="Messages per object. Never more than worker.concurrency, since all of them are held meanwhile.",
    )
    max_seconds: Annotated[int, Strict(), Field(ge=1, le=MOST_SECONDS)] = Field(
        default=5, description="The longest that a message waits for its batch to fill, in seconds."
    )
    max_bytes: Annotated[int, Strict(), Field(ge=1024, le=MOST_BYTES)] = Field(
        default=8_388_608, description="Bytes per object; a larger message is stored alone."
    )
    key_template: KeyTemplateText = Field(
        default=DEFAULT_BATCH_KEY,
        description="Key of each object. {queue}, {date} (2030-01-31), {hour} (23) and {batch_id} are filled in, the "
        "times in UTC; {batch_id} is required.",
    )


class ArchiveSpec(Model):
    """Settings of the builtin s3-archive. What is unset may come from the runner's environment (WORKERPOOL_S3_…)."""

    endpoint: (
        Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$")] | None
    ) = Field(default=None, description="URL of the S3 server, for example http://garage:3900; unset: AWS.")
    region: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][-_A-Za-z0-9]*$")] | None = Field(
        default=None, description=f"Region of the bucket, as the server calls it. Unset: {DEFAULT_REGION}."
    )
    bucket: Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]$")] | None = (
        Field(default=None, description="The bucket; it is created when it is missing.")
    )
    credentials_secret_ref: ArchiveSecretRef | None = Field(
        default=None,
        description="Where the access key and the secret key are. Unset: from the environment, or what the AWS SDK "
        "finds (a service account's role).",
    )
    key_template: KeyTemplateText = Field(
        default=DEFAULT_KEY,
        description="Key of each object. {name} is the message's top-level field of that name: text or a whole number "
        "without slashes, backslashes, control characters or a leading dot. A message without it is a dead letter.",
    )
    content_type: Annotated[str, StringConstraints(max_length=255, pattern=r"^[!-~]+(; ?[!-~]+)*$")] | None = Field(
        default=None,
        description=f"Content type of the objects. Unset: {DEFAULT_CONTENT_TYPE}, or application/x-ndjson for batches.",
    )
    required_fields: tuple[FieldName, ...] = Field(
        default=(),
        max_length=64,
        description="Further top-level fields that a message must have. Those of keyTemplate are required anyway.",
    )
    batch: ArchiveBatch | None = Field(
        default=None, description="Many messages per object. Unset: one object per message."
    )

    @property
    def secrets(self) -> "tuple[ArchiveSecret, ...]":
        """Every variable of a runner that is filled from a Secret."""
        reference = self.credentials_secret_ref
        if reference is None:
            return ()
        keys = {
            ENV_S3_ACCESS_KEY: ("accessKeyKey", reference.access_key_key),
            ENV_S3_SECRET_KEY: ("secretKeyKey", reference.secret_key_key),
            ENV_S3_ENDPOINT: ("endpointKey", reference.endpoint_key),
            ENV_S3_REGION: ("regionKey", reference.region_key),
            ENV_S3_BUCKET: ("bucketKey", reference.bucket_key),
        }
        place = "spec.worker.archive.credentialsSecretRef"
        return tuple(
            ArchiveSecret(variable, reference.name, key, place, f"{place}.{name}")
            for variable, (name, key) in keys.items()
            if key is not None
        )


class ArchiveSecret(NamedTuple):
    """The environment ``variable`` that gets the value of ``key`` in the Secret ``name``.

    ``field``: the reference in the spec, as a path. ``key_field``: where its key is said, as a path.
    """

    variable: str
    name: str
    key: str
    field: str
    key_field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Everything that an archive worker is told from outside.

    ``endpoint`` None: AWS. ``access_key`` and ``secret_key`` None: what the AWS SDK finds. ``content_type`` None: the
    usual one of messages or batches. ``batch_messages`` None: no batches; ``batch_seconds``: seconds; ``batch_bytes``:
    bytes.
    """

    endpoint: str | None = None
    region: str = DEFAULT_REGION
    bucket: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    key_template: str = DEFAULT_KEY
    content_type: str | None = None
    required_fields: tuple[str, ...] = ()
    batch_messages: int | None = None
    batch_seconds: float = 5.0
    batch_bytes: int = 8_388_608
    batch_key_template: str = DEFAULT_BATCH_KEY


ENV_S3_ENDPOINT: Final = "WORKERPOOL_S3_ENDPOINT"
ENV_S3_REGION: Final = "WORKERPOOL_S3_REGION"
ENV_S3_BUCKET: Final = "WORKERPOOL_S3_BUCKET"
ENV_S3_ACCESS_KEY: Final = "WORKERPOOL_S3_ACCESS_KEY"
ENV_S3_SECRET_KEY: Final = "WORKERPOOL_S3_SECRET_KEY"  # noqa: S105 - a name

ARCHIVE_VARIABLES: tuple[Variable, ...] = (
    Variable(ENV_S3_ENDPOINT, "endpoint", plain, (Alias("GARAGE_ENDPOINT"),)),
    Variable(ENV_S3_REGION, "region", plain, (Alias("GARAGE_REGION"),)),
    Variable(ENV_S3_BUCKET, "bucket", plain, (Alias("GARAGE_BUCKET"),)),
    Variable(ENV_S3_ACCESS_KEY, "access_key", plain, (Alias("GARAGE_ACCESS_KEY"),), secret=True),
    Variable(ENV_S3_SECRET_KEY, "secret_key", plain, (Alias("GARAGE_SECRET_KEY"),), secret=True),
    Variable("WORKERPOOL_ARCHIVE_KEY_TEMPLATE", "key_template", plain),
    Variable("WORKERPOOL_ARCHIVE_CONTENT_TYPE", "content_type", plain),
    Variable("WORKERPOOL_ARCHIVE_REQUIRED_FIELDS", "required_fields", words),
    Variable("WORKERPOOL_ARCHIVE_BATCH_MESSAGES", "batch_messages", integer(1, MOST_MESSAGES)),
    Variable("WORKERPOOL_ARCHIVE_BATCH_SECONDS", "batch_seconds", seconds(0.001, MOST_SECONDS)),
    Variable("WORKERPOOL_ARCHIVE_BATCH_BYTES", "batch_bytes", integer(1024, MOST_BYTES)),
    Variable("WORKERPOOL_ARCHIVE_BATCH_KEY_TEMPLATE", "batch_key_template", plain),
)


def archive_from_environment(environ: Mapping[str, str]) -> ArchiveSettings:
    """The settings that ``environ`` describes; raises SettingsError for the first variable that can't be used."""
    found = {variable.field: variable.read(environ) for variable in ARCHIVE_VARIABLES}
    if (found["access_key"] is None) != (found["secret_key"] is None):
        missing = ENV_S3_SECRET_KEY if found["secret_key"] is None else ENV_S3_ACCESS_KEY
        msg = f"{missing} is missing: the access key and the secret key belong together; set both or neither"
        raise SettingsError(msg)
    return ArchiveSettings(**{name: value for name, value in found.items() if value is not None})


def archive_to_environment(settings: ArchiveSettings) -> dict[str, str]:
    """The variables that make a runner read exactly ``settings``; defaults are left out."""
    defaults = {it.name: it.default for it in fields(ArchiveSettings)}
    return {
        variable.name: write(value)
        for variable in ARCHIVE_VARIABLES
        if (value := getattr(settings, variable.field)) != defaults[variable.field]
    }


def archive_settings_of(spec: ArchiveSpec) -> ArchiveSettings:
    """What the spec says without its Secrets: the values of `ArchiveSpec.secrets` come on top."""
    batch = spec.batch or ArchiveBatch()
    return ArchiveSettings(
        endpoint=spec.endpoint,
        region=spec.region or DEFAULT_REGION,
        bucket=spec.bucket,
        key_template=spec.key_template,
        content_type=spec.content_type,
        required_fields=spec.required_fields,
        batch_messages=batch.max_messages if spec.batch else None,
        batch_seconds=float(batch.max_seconds),
        batch_bytes=batch.max_bytes,
        batch_key_template=batch.key_template,
    )


def archive_url(environ: Mapping[str, str]) -> str | None:
    """URL of the queue where it differs from what every other runner reads: RABBITMQ_URL beats DATABASE_URL here.

    The archive worker that this one replaces had a broker only; a DATABASE_URL beside it belongs to somebody else.
    """
    if environ.get(names.ENV_URL, "").strip() or environ.get(names.ENV_RABBITMQ_HOST, "").strip():
        return None
    return environ.get("RABBITMQ_URL", "").strip() or None
