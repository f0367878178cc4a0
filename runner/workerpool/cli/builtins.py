"""The workers that come with WorkerPool, as ``workerpool run`` and WORKERPOOL_BUILTIN name them."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workerpool.archive.plan import plan_archive
from workerpool.archive.worker import NAME, Archive
from workerpool.cli.workers import load
from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.extension import Extension, NoExtension
from workerpool.redaction import register_secret
from workerpool_contract.archive import archive_from_environment, archive_url
from workerpool_contract.environment import RunnerSettings
from workerpool_contract.names import ENV_BUILTIN


@dataclass(frozen=True, slots=True)
class Loaded:
    """The workers that a process may run, and what they bring along."""

    definitions: Sequence[WorkerDefinition]
    extension: Extension


def wanted_builtin(names: Sequence[str], app: str | None, settings: RunnerSettings) -> str | None:
    """The ready-made worker that was asked for by name or by the environment, None for workers of an app.

    ``names`` and ``app``: as on the command line. Raises ConfigError for a ready-made worker beside others.
    """
    if NAME in names:
        if len(names) > 1 or app is not None:
            raise ConfigError(f"NAME: {NAME} runs alone; leave out the other names and --app")
        return NAME
    if settings.builtin is not None and (names or app is not None):
        raise ConfigError(f"{ENV_BUILTIN}: {settings.builtin} runs alone; unset it, or leave out NAME and --app")
    return settings.builtin


def load_workers(settings: RunnerSettings) -> Loaded:
    """The ready-made worker that ``settings`` name, else the workers of the app. Raises ConfigError, SettingsError."""
    if settings.builtin is None:
        return Loaded(load(settings.app), NoExtension())
    archive = archive_from_environment(os.environ)
    for secret in (archive.access_key, archive.secret_key):
        register_secret(secret or "")
    extension = Archive(plan_archive(archive, settings), clock=time.monotonic, wall=time.time)
    return Loaded((extension.definition,), extension)


def builtin_url(settings: RunnerSettings) -> str | None:
    """The queue's URL where a ready-made worker reads another variable than the rest."""
    return None if settings.builtin is None else archive_url(os.environ)
