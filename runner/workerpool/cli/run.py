"""``workerpool run``: runner processes, as the operator starts them and as a developer does."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import click
import uvloop

from workerpool.children import Command, ParentLine
from workerpool.cli.builtins import Loaded, builtin_url, load_workers, wanted_builtin
from workerpool.cli.target import queue_url, url_option
from workerpool.cli.workers import app_option
from workerpool.errors import ConfigError
from workerpool.logs import LogSettings, configure
from workerpool.reload import Reloader, ReloadSettings
from workerpool.runner import Runner
from workerpool.selection import chosen
from workerpool.supervisor import Supervisor, SupervisorSettings
from workerpool.telemetry import exports_spans
from workerpool.tracing import open_tracer
from workerpool_contract.environment import RunnerSettings, from_environment, to_environment, without_settings
from workerpool_contract.names import ENV_LOG_FILE

GRACE_MARGIN = 10.0
"""Seconds a child gets beyond its drain timeout to settle and leave: fewer than the kubelet gives the pod."""


@dataclass(frozen=True, slots=True)
class _Options:
    """What the command line says beyond the settings."""

    reload: bool
    boot: UUID


@click.command(name="run")
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option("--all", "everything", is_flag=True, help="Run every worker of the app.")
@app_option
@click.option("--reload", is_flag=True, help="Start again whenever a Python file of this folder changes.")
@click.option("--probe-port", type=click.IntRange(0, 65535), help="Port of /live, /ready, /health, /metrics; 0: any.")
@click.option(
    "--log-file", metavar="FILE", help=f"Write the log to this file too; it is rotated. Default: {ENV_LOG_FILE}.",
    type=click.Path(dir_okay=False, path_type=Path),
)  # fmt: skip
@url_option
@click.option("--json", "as_json", is_flag=True, help="Log JSON lines instead of text.")
def run(  # noqa: PLR0913 - one parameter per option
    names: Sequence[str], *, everything: bool, app: str | None, reload: bool, probe_port: int | None,
    log_file: Path | None, url: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run workers until SIGTERM or Ctrl-C, then drain.

    Give the NAMEs of workers, or --all. With neither, WORKERPOOL_WORKERS chooses, or the workers of WORKERPOOL_QUEUE.
    The NAME s3-archive is the ready-made archive worker; it needs no app.
    WORKERPOOL_PROCESSES above 1 starts so many processes behind one probe port. A second Ctrl-C ends at once: the
    running jobs go back to the queue at no cost.

    Exit codes: 0 drained, 1 failed, 2 bad input (nothing was started), 3 server unreachable, 4 not migrated.
    """
    if names and everything:
        raise ConfigError("NAME: names and --all exclude each other; give one of them")
    known = from_environment(os.environ)
    builtin = wanted_builtin(names, app, known)
    wanted = replace(
        known,
        app=None if builtin else app or known.app,
        builtin=builtin,
        workers=() if builtin else tuple(names) or (() if everything else known.workers),
        probe_port=known.probe_port if probe_port is None else probe_port,
        log_format="json" if as_json else known.log_format,
        log_file=known.log_file if log_file is None else str(log_file),
    )
    options = _Options(reload, uuid4())
    if wanted.log_file is not None and wanted.processes > 1:
        raise ConfigError(f"--log-file: {wanted.processes} processes can't rotate one file; redirect stderr instead")
    loaded = None if _is_parent(wanted, options) else load_workers(wanted)
    if loaded is not None:
        chosen(loaded.definitions, wanted)  # A wrong name is told before a database is started.
    configure(_log_settings(wanted, options))
    with queue_url(url or builtin_url(wanted), create=True) as found:
        code = _start(replace(wanted, url=found), loaded, options)
    if code:
        raise click.exceptions.Exit(code)


def _log_settings(settings: RunnerSettings, options: _Options) -> LogSettings:
    parent = _is_parent(settings, options)
    fields = {"pool": settings.pool, "boot": None if parent else str(options.boot)}
    return LogSettings(
        "json" if settings.log_format == "json" else "text",
        settings.log_level,
        None if settings.log_file is None or parent else Path(settings.log_file),  # A child writes it.
        fields={name: value for name, value in fields.items() if value},
    )


def _is_parent(settings: RunnerSettings, options: _Options) -> bool:
    """Whether this process only looks after others, which load the app themselves."""
    return options.reload or settings.processes > 1


def _start(settings: RunnerSettings, loaded: Loaded | None, options: _Options) -> int:
    line = ParentLine.from_environment(os.environ)
    grace = settings.effective_drain_timeout + GRACE_MARGIN
    if line is not None:
        line.watch(grace)
    if options.reload:
        return asyncio.run(Reloader(ReloadSettings(_command(settings), Path.cwd(), grace)).run())
    if loaded is None:
        return asyncio.run(_supervise(settings, grace))
    tracer, close = open_tracer(export=exports_spans(os.environ))
    try:
        listening = _nothing if line is None else line.report
        runner = Runner(
            settings, loaded.definitions, tracer, boot=options.boot, listening=listening, extension=loaded.extension
        )
        uvloop.run(_work(runner))
    finally:
        close()
    return 0


async def _supervise(settings: RunnerSettings, grace: float) -> int:
    supervised = SupervisorSettings(
        _command(settings), settings.processes, grace, settings.probe_host, settings.probe_port
    )
    return await Supervisor(supervised, clock=time.monotonic, now=lambda: datetime.now(UTC)).run()


async def _work(runner: Runner) -> None:
    runner.handle_signals()
    await asyncio.shield(runner.run())


def _command(settings: RunnerSettings) -> Command:
    """This program for a child; what was decided here is in its environment: arguments are for all users to read."""
    environment = without_settings(os.environ) | to_environment(settings)
    return Command((sys.executable, "-m", "workerpool", "run"), environment)


def _nothing(_port: int) -> None:
    """Nobody supervises this process."""
