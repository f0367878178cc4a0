"""``workerpool run``: one runner process, as the operator starts it and as a developer does."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import uvloop

from workerpool.definition import WorkerDefinition
from workerpool.errors import ConfigError
from workerpool.logs import LogSettings, configure
from workerpool.registry import load_app
from workerpool.runner import Runner
from workerpool.tracing import SpanTracer, open_tracer
from workerpool_contract.environment import RunnerSettings, from_environment
from workerpool_contract.names import ENV_APP, ENV_URL

ENV_COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own variable; its exporter reads it and its siblings by itself."""


@click.command(name="run")
@click.argument("names", nargs=-1, metavar="NAME…")
@click.option("--all", "everything", is_flag=True, help="Run every worker of the app.")
@click.option("--app", metavar="MODULE", help=f"Module whose workers run (else {ENV_APP}).")
@click.option("--url", metavar="URL", envvar=ENV_URL, help=f"Queue's server (else {ENV_URL}).")
@click.option("--probe-port", type=click.IntRange(0, 65535), help="Port of /live, /ready, /health, /metrics.")
def run(names: Sequence[str], *, everything: bool, app: str | None, url: str | None, probe_port: int | None) -> None:
    """Run workers until SIGTERM or Ctrl-C, then drain."""
    settings = from_environment(os.environ)
    if names and everything:
        raise ConfigError("NAME: names and --all exclude each other; give one of them")
    settings = replace(
        settings,
        url=url or settings.url,
        app=app or settings.app,
        workers=tuple(names) or (() if everything else settings.workers),
        probe_port=settings.probe_port if probe_port is None else probe_port,
    )
    definitions = load(settings)
    configure(LogSettings("json" if settings.log_format == "json" else "text", settings.log_level))
    tracer, send_spans = open_tracer(export=ENV_COLLECTOR in os.environ, service=settings.pool or "workerpool")
    try:
        uvloop.run(_run(settings, definitions, tracer))
    finally:
        send_spans()


def load(settings: RunnerSettings) -> tuple[WorkerDefinition, ...]:
    """The app's workers. Raises ConfigError when no app is named or it can't be loaded."""
    if settings.app is None:
        raise ConfigError(f"app: no module is named; pass --app MODULE or set {ENV_APP}")
    return load_app(settings.app, folder=str(Path.cwd()))


async def _run(settings: RunnerSettings, definitions: Sequence[WorkerDefinition], tracer: SpanTracer | None) -> None:
    runner = Runner(settings, definitions, tracer)
    runner.handle_signals()
    await asyncio.shield(runner.run())
