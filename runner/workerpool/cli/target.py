"""Which queue a command talks to, and the administration of it for the length of one command."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import click
import platformdirs

from workerpool.engines import EngineOptions, open_administration, require_engine
from workerpool.errors import ConfigError
from workerpool.redaction import register_url
from workerpool.sources.administration import Administration
from workerpool_contract.environment import RunnerSettings, from_environment
from workerpool_contract.localdb import LocalDatabase, state_dir
from workerpool_contract.names import DATABASES_GROUP, ENV_URL

T = TypeVar("T")

url_option = click.option(
    "--url",
    metavar="URL",
    help=f"Database or broker of the queues. Default: {ENV_URL}, DATABASE_URL, then this folder's embedded database.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def settings() -> RunnerSettings:
    """What the environment says. Raises SettingsError."""
    return from_environment(os.environ)


@contextmanager
def queue_url(option: str | None, *, create: bool = False) -> Iterator[str]:
    """The URL to use: ``option``, the environment's, or that of this folder's embedded database, running while inside.

    Its password is masked in everything that is printed from then on. ``create``: start an empty embedded database
    where there is none yet. Raises ConfigError when there is no database at all, SourceError when it can't be started.
    """
    found = settings()
    url = option or found.effective_url
    if url is not None:
        register_url(url)
        if found.rabbitmq_management_url is not None:
            register_url(found.rabbitmq_management_url)
        require_engine(url)
        yield url
        return
    folder = project_state(found.state_dir)
    if not create and not folder.is_dir():
        raise ConfigError(
            f"url: no queue is named and this folder has no embedded database ({folder}); set {ENV_URL}, pass --url, "
            "or go to the folder where `workerpool up` runs"
        )
    database = _embedded()
    try:
        yield database.start(folder)
    finally:
        database.stop()


def project_state(override: str | None) -> Path:
    """The folder that holds the state of the project in the current folder; `workerpool up` uses the same."""
    user = platformdirs.user_state_path("workerpool", appauthor=False)
    return state_dir(Path.cwd(), user, root=os.geteuid() == 0, override=override)


def _embedded() -> LocalDatabase:
    for entry in entry_points(group=DATABASES_GROUP):
        try:
            database: LocalDatabase = entry.load()()
        except ImportError:
            continue
        return database
    raise ConfigError(
        f"url: no queue is named and no embedded database is installed; set {ENV_URL}, "
        "or pip install 'workerpool[local]'"
    )


def administrate(url: str | None, work: Callable[[Administration], Awaitable[T]]) -> T:
    """Connects, does ``work`` and leaves. Raises ConfigError, SchemaError, SourceUnavailable, SourceError."""
    with queue_url(url) as found:
        return asyncio.run(_administrate(found, work))


async def _administrate(url: str, work: Callable[[Administration], Awaitable[T]]) -> T:
    async with open_administration(url, EngineOptions.of(settings())) as admin:
        return await work(admin)
