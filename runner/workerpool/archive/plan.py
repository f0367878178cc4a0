"""What an archive worker will do, checked before anything is started. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from workerpool.archive.batches import ID_CHARACTERS, BatchLimits
from workerpool.archive.keys import KeyTemplate, parse_batch_template, parse_template, shown
from workerpool.definition import MAX_CONCURRENCY
from workerpool.errors import ConfigError, InvalidPayload
from workerpool_contract.archive import (
    DEFAULT_CONTENT_TYPE,
    DEFAULT_QUEUE,
    ENV_S3_BUCKET,
    ENV_S3_ENDPOINT,
    ArchiveSettings,
)
from workerpool_contract.environment import RunnerSettings

CONCURRENCY: Final = 16
"""Messages at the same time when nobody says, without batches; with batches twice what one of them holds."""
LONGEST_HOLD: Final = 600.0
"""Seconds that a job waits for a storage that is away; brokers let a message be held for half an hour."""
SHARE: Final = 0.8
"""The part of the job timeout that waiting may take."""
BATCH_CONTENT_TYPE: Final = "application/x-ndjson"

_BUCKET: Final = re.compile(r"[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]")
_ENDPOINT: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
_CONTENT_TYPE: Final = re.compile(r"[ -~]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePlan:
    """Settings that were found sound. ``hold``: seconds that a job may wait for the storage. ``batch`` None: none."""

    settings: ArchiveSettings
    bucket: str
    queue: str
    concurrency: int
    hold: float
    content_type: str
    required: tuple[str, ...]
    template: KeyTemplate
    batch_template: KeyTemplate
    batch: BatchLimits | None

    @property
    def topic(self) -> str:
        """The topic that the queue gets its messages from."""
        return self.queue.partition("@")[0]

    @property
    def group(self) -> str | None:
        """The group of a queue ``topic@group``."""
        return self.queue.partition("@")[2] or None

    @property
    def described(self) -> str:
        """Where messages go, in words."""
        if self.batch is None:
            return f"one object per message, {self.template.written}"
        return f"up to {self.batch.messages} messages per object, {self.batch_template.written}"


def plan_archive(settings: ArchiveSettings, runner: RunnerSettings) -> ArchivePlan:
    """The plan for these settings in such a runner. Raises ConfigError naming the setting, its value and the cure."""
    bucket = _bucket(settings)
    if settings.endpoint is not None and not _ENDPOINT.fullmatch(settings.endpoint):
        raise ConfigError(
            f"{ENV_S3_ENDPOINT}: {shown(settings.endpoint)} is no URL of an S3 server; write for example "
            "http://garage:3900, with the keys in variables of their own"
        )
    batches = settings.batch_messages
    concurrency = runner.concurrency or (CONCURRENCY if batches is None else min(MAX_CONCURRENCY, 2 * batches))
    batch = (
        None
        if batches is None
        else BatchLimits(min(batches, concurrency), settings.batch_seconds, settings.batch_bytes)
    )
    return ArchivePlan(
        settings=settings,
        bucket=bucket,
        queue=runner.queue or DEFAULT_QUEUE,
        concurrency=concurrency,
        hold=_hold(runner.job_timeout, batch),
        content_type=_content_type(settings),
        required=settings.required_fields,
        template=parse_template(settings.key_template, field="WORKERPOOL_ARCHIVE_KEY_TEMPLATE"),
        batch_template=_batch_template(settings.batch_key_template, runner.queue or DEFAULT_QUEUE),
        batch=batch,
    )


def _batch_template(written: str, queue: str) -> KeyTemplate:
    field = "WORKERPOOL_ARCHIVE_BATCH_KEY_TEMPLATE"
    template = parse_batch_template(written, field=field)
    try:
        template.key({"queue": queue, "date": "2030-01-31", "hour": "23", "batch_id": "0" * ID_CHARACTERS})
    except InvalidPayload as error:
        raise ConfigError(f"{field}: {shown(written)} makes no key of queue {shown(queue)}: {error}") from error
    return template


def _bucket(settings: ArchiveSettings) -> str:
    if settings.bucket is None:
        raise ConfigError(f"{ENV_S3_BUCKET}: no bucket is named; set it, or archive.bucket in the manifest")
    if not _BUCKET.fullmatch(settings.bucket):
        raise ConfigError(
            f"{ENV_S3_BUCKET}: {shown(settings.bucket)} is no name of a bucket: 3 to 63 lower-case letters, digits, "
            "dots and dashes, a letter or digit at both ends"
        )
    return settings.bucket


def _content_type(settings: ArchiveSettings) -> str:
    usual = DEFAULT_CONTENT_TYPE if settings.batch_messages is None else BATCH_CONTENT_TYPE
    if settings.content_type is not None and not _CONTENT_TYPE.fullmatch(settings.content_type):
        raise ConfigError(
            f"WORKERPOOL_ARCHIVE_CONTENT_TYPE: {shown(settings.content_type)} can't stand in a header; "
            "write for example application/json"
        )
    return settings.content_type or usual


def _hold(job_timeout: float, batch: BatchLimits | None) -> float:
    """Seconds for all tries of one upload, so that neither the job's timeout nor a broker's cuts it off."""
    gathering = batch.seconds if batch else 0.0
    if gathering > job_timeout * SHARE / 2:
        raise ConfigError(
            f"WORKERPOOL_ARCHIVE_BATCH_SECONDS: {gathering:g} leaves too little of a job's {job_timeout:g} s for the "
            "upload; lower it, or raise the job timeout"
        )
    return min(LONGEST_HOLD, job_timeout * SHARE - gathering)
