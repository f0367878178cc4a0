"""The command line: parses, measures, renders."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import records, trying
from benchmarks.command import DOCS
from benchmarks.environments import pinned_on_rabbitmq
from benchmarks.rabbitmq import report, servers
from benchmarks.rabbitmq.contenders import CONTENDERS, Contender
from benchmarks.rabbitmq.session import FULL, MEASURES, QUICK, Scale, Session, tasks
from benchmarks.report import page
from benchmarks.server import fdatasync_microseconds

SCRATCH = Path(tempfile.gettempdir()) / "workerpool-benchmarks" / "rabbitmq"


def main() -> None:
    """Run the command; exits with 1 when a contender failed, 2 on wrong arguments.

    Only a complete run is kept with the project and rendered into its documentation, unless told otherwise.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: the servers are stopped, nothing stays behind
    arguments = _parser().parse_args()
    if arguments.list:
        _list()
        return
    scale = QUICK if arguments.quick else FULL
    scale = dataclasses.replace(
        scale, rounds=arguments.rounds or scale.rounds, attempts=arguments.attempts or scale.attempts
    )
    publish = not (arguments.quick or arguments.only or arguments.measure)
    folder = arguments.results or (report.RESULTS if publish else SCRATCH)
    results = folder / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.jsonl"
    failed = _measure(arguments, trying.chosen(CONTENDERS, arguments.only), scale, results)
    if publish or arguments.docs:
        _render(arguments.docs or DOCS, results)
    else:
        print(report.section(results))
    print(f"results: {results}")
    sys.exit(1 if failed else 0)


def _measure(arguments: argparse.Namespace, chosen: Sequence[Contender], scale: Scale, results: Path) -> bool:
    """Measure everything asked for into `results`; whether a contender failed."""
    failed = False
    print("starting RabbitMQ and an S3 server ...", flush=True)
    with servers.throw_away() as both:
        session = Session(both, scale, arguments.core)
        writer = records.Writer(results, _describe(both, scale.name))
        for record in session.install(tuple(chosen)):
            writer.write(record)
        for record in session.run(list(tasks(tuple(chosen), scale, tuple(arguments.measure or MEASURES)))):
            writer.write(record)
            failed = failed or bool(record.error)
    return failed


def _describe(both: servers.Servers, scale: str) -> dict[str, Any]:
    """The machine, the servers and the versions."""
    ours = {name: version(name) for name in ("uvloop", "aio-pika", "aiormq", "pamqp")}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "scale": scale,
        **records.machine(),
        "fdatasync_us": round(fdatasync_microseconds(both.broker.home)),
        **both.about(),
        "command": " ".join(["python -m benchmarks.rabbitmq", *sys.argv[1:]]),
        "versions": pinned_on_rabbitmq(),
        "ours": ours,
    }


def _render(docs: Path, results: Path) -> None:
    """Write the whole page again, with this run's figures in it."""
    docs.mkdir(parents=True, exist_ok=True)
    newest = records.newest()
    for path in page.write(records.read(newest), docs, newest.name, results):
        print(f"wrote {path}")


def _list() -> None:
    """Print contenders and settings."""
    for contender in CONTENDERS:
        print(contender.name)
        for setting in contender.settings:
            print(f"  {setting.part:10} {setting.name}")


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rabbitmq", description="WorkerPool on RabbitMQ beside other worker frameworks."
    )
    parser.add_argument("--quick", action="store_true", help="everything with few messages: does the harness work?")
    parser.add_argument("--only", action="append", metavar="NAME", help="this contender only; may be repeated")
    parser.add_argument("--measure", action="append", choices=MEASURES, help="this measure only; may be repeated")
    parser.add_argument("--list", action="store_true", help="show contenders and settings, then stop")
    parser.add_argument("--attempts", type=int, help="runs at most for a figure when the machine is disturbed (2)")
    parser.add_argument("--rounds", type=int, help="runs per figure of no-op messages (default: 2, quick: 1)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="core of the worker")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where to keep the JSON lines")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="where to write benchmarks.md and its plots")
    return parser
