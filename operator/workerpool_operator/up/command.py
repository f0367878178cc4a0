"""The command `workerpool up`: the composition root of the operator on this machine."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import click
import platformdirs
from rich.console import Console

from workerpool_contract import names
from workerpool_contract.environment import SettingsError, from_environment
from workerpool_contract.localdb import LocalDatabase, state_dir
from workerpool_operator.backlog.watch import Endpoint
from workerpool_operator.local.processes import Access
from workerpool_operator.manifest import ManifestError, Manifests, load
from workerpool_operator.up.authority import read_authority, write_authority
from workerpool_operator.up.envfile import EnvFileError, parse_env_file
from workerpool_operator.up.reporter import Json, Lines, Reporter
from workerpool_operator.up.screen import Screen
from workerpool_operator.up.session import Clocks, Session, Setup, Until
from workerpool_operator.up.sources import SourceError, Sources, sources_of, unused_fields
from workerpool_operator.up.state import StateInUse, claimed
from workerpool_operator.up.told import Told


class UsageProblem(click.ClickException):
    """Something that the user wrote can't be used; exit code 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    files: tuple[Path, ...]
    url: str | None = field(repr=False)
    env_file: Path | None
    until_empty: bool
    as_json: bool
    tui: bool
    logs: bool


@click.command(name="up")
@click.option(
    "-f", "--file", "files", multiple=True, required=True, metavar="FILE", help="Manifest; - is stdin.",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)  # fmt: skip
@click.option("--url", metavar="URL", help="Server for all pools of its kind, instead of Secrets and so on.")
@click.option(
    "--env-file", metavar="FILE", help="Lines of NAME=VALUE for the runners, WORKERPOOL_URL among them.",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)  # fmt: skip
@click.option("--until-empty", is_flag=True, help="Drain and stop once all queues are empty.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per change.")
@click.option("--no-tui", is_flag=True, help="Plain lines, even on a terminal.")
@click.option("--logs", is_flag=True, help="Show what the runners write.")
def up(files: tuple[Path, ...], *, url: str | None, env_file: Path | None, no_tui: bool, **flags: bool) -> None:
    """Run the pools of the manifests on this machine until Ctrl-C.

    Starts and stops runner processes as the backlog asks. For pools on Postgres without a URL it starts an embedded
    one, whose data stays in the state folder of this project. A RabbitMQ broker is never started.

    Exit codes: 0 drained and stopped, 1 something failed, 2 bad input (nothing was started).
    """
    options = Options(files, url, env_file, tui=not no_tui, **flags)
    try:
        _run(options)
    except (ManifestError, SourceError, SettingsError, StateInUse, EnvFileError) as error:
        raise UsageProblem(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'up'}: {error.strerror or error}") from None


def _run(options: Options) -> None:
    manifests = load({_name(path): _text(path) for path in options.files})
    environ = {**os.environ, **_env_file(options.env_file)}
    base = from_environment(environ)
    authority = read_authority(base.rabbitmq_ca_file)
    sources = sources_of(manifests, Told(option=options.url, environ=environ, base=base, authority=authority))
    user_state = platformdirs.user_state_path("workerpool", appauthor=False)
    folder = state_dir(Path.cwd(), user_state, root=os.geteuid() == 0, override=base.state_dir)
    reporter = _reporter(options)
    try:
        for notice in (*manifests.notices, *sources.notices, *(n for p in manifests.pools for n in unused_fields(p))):
            reporter.note(f"Notice: {notice}")
        with claimed(folder), _databases(sources, folder, reporter) as endpoints:
            setup = Setup(
                pools=manifests.pools,
                endpoints=endpoints,
                accesses={name: _access(name, endpoints[name], sources, folder) for name in endpoints},
                logs=folder / "logs",
                environ=environ,
                base=base,
                until=Until.EMPTY if options.until_empty else Until.STOPPED,
                follow=options.logs,
            )
            asyncio.run(_session(setup, reporter))
    finally:
        reporter.close()
    _farewell(manifests, reporter)


async def _session(setup: Setup, reporter: Reporter) -> None:
    session = Session(setup, reporter, Clocks(time.monotonic, time.time))
    with session.signals():
        await session.run()


def _access(pool: str, endpoint: Endpoint, sources: Sources, folder: Path) -> Access:
    ca_file = write_authority(folder / "authorities", pool, endpoint.authority)
    return Access(endpoint.url, ca_file, sources.by_pool[pool].variables)


@contextlib.contextmanager
def _databases(sources: Sources, folder: Path, reporter: Reporter) -> Iterator[dict[str, Endpoint]]:
    """Endpoints of all pools, with the embedded database running while inside if any pool needs it."""
    known = {pool: source.endpoint for pool, source in sources.by_pool.items()}
    if not sources.embedded:
        yield {pool: endpoint for pool, endpoint in known.items() if endpoint is not None}
        return
    database = local_database()
    reporter.note(f"Starting the embedded Postgres (data in {folder})")
    try:
        started = Endpoint(database.start(folder))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    try:
        yield {pool: endpoint or started for pool, endpoint in known.items()}
    finally:
        database.stop()


def local_database() -> LocalDatabase:
    """The embedded database that is installed. Raises UsageProblem when there is none."""
    for entry in entry_points(group=names.DATABASES_GROUP):
        try:
            database: LocalDatabase = entry.load()()
        except ImportError:
            continue
        return database
    message = "no database is named and no embedded one is installed; pip install 'workerpool[local]', or give --url"
    raise UsageProblem(message)


def _name(path: Path) -> str:
    return "stdin" if str(path) == "-" else str(path)


def _text(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8"
        raise UsageProblem(message) from None


def _env_file(path: Path | None) -> dict[str, str]:
    return parse_env_file(_text(path), str(path)) if path else {}


def _reporter(options: Options) -> Reporter:
    if options.as_json:
        return Json(_print)
    if options.tui and sys.stdout.isatty():
        return Screen(Console())
    return Lines(_print)


def _print(line: str) -> None:
    click.echo(line)


def _farewell(manifests: Manifests, reporter: Reporter) -> None:
    names_ = ", ".join(pool.metadata.name for pool in manifests.pools)
    reporter.note(f"Stopped {names_}; no runner is left")
