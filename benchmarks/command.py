"""The command line: parses, measures, renders."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import trying
from benchmarks.contenders import CONTENDERS
from benchmarks.model import FULL, MEASURES, QUICK, Contender, Scale
from benchmarks.records import HERE, RESULTS, Writer, describe, newest, read
from benchmarks.report import page
from benchmarks.server import Server, find_binaries, throw_away
from benchmarks.session import Session, tasks

DOCS = HERE.parent / "docs"
SCRATCH = Path(tempfile.gettempdir()) / "workerpool-benchmarks"


def main() -> None:
    """Run the command; exits with 1 when a contender failed, 2 on wrong arguments.

    Only a complete run is kept with the project and rendered into its documentation, unless told otherwise.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: the server is stopped, nothing stays behind
    arguments = _parser().parse_args()
    if arguments.list:
        _list()
        return
    if arguments.report_only is not None:
        _render(Path(arguments.report_only or newest()), arguments.docs or DOCS)
        return
    scale = QUICK if arguments.quick else dataclasses.replace(FULL, share=arguments.share)
    scale = dataclasses.replace(
        scale, attempts=arguments.attempts or scale.attempts, rounds=arguments.rounds or scale.rounds
    )
    chosen = trying.chosen(CONTENDERS, arguments.only)
    publish = not (arguments.quick or arguments.only or arguments.measure or arguments.share != 1.0)
    results = (arguments.results or (RESULTS if publish else SCRATCH)) / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.jsonl"
    failed = _measure(arguments, chosen, scale, results)
    if publish or arguments.docs:
        _render(results, arguments.docs or DOCS)
    else:
        print(page.text(read(results)))
    print(f"results: {results}")
    sys.exit(1 if failed else 0)


def _measure(arguments: argparse.Namespace, chosen: tuple[Contender, ...], scale: Scale, results: Path) -> bool:
    """Measure everything asked for into `results`; whether a contender failed."""
    failed = False
    wanted = tuple(arguments.measure or MEASURES)
    with _server(arguments) as server, _room() as room:
        session = Session(server, scale, arguments.core, room)
        writer = Writer(results, describe(server, scale.name, arguments.core))
        for record in session.install(chosen):
            writer.write(record)
        plan = list(tasks(chosen, scale, wanted))
        for record in session.run(plan, rounds=scale.rounds):
            writer.write(record)
            failed = failed or bool(record.error)
    return failed


def _render(results: Path, docs: Path) -> None:
    """Write the page and its plot."""
    docs.mkdir(parents=True, exist_ok=True)
    for path in page.write(read(results), docs, results.name):
        print(f"wrote {path}")


@contextlib.contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[Server]:
    """The server to measure on."""
    if arguments.url:
        yield Server(arguments.url.rstrip("/"), None, None)
        return
    binaries = find_binaries(arguments.postgres)
    print(f"starting a Postgres server from {binaries} ...", flush=True)
    with throw_away(binaries) as server:
        yield server


@contextlib.contextmanager
def _room() -> Iterator[Path]:
    """A directory for pipes and logs."""
    room = Path(tempfile.mkdtemp(prefix="workerpool-bench-"))
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _list() -> None:
    """Print contenders and settings."""
    for contender in CONTENDERS:
        print(f"{contender.name} ({contender.language})")
        for setting in contender.settings:
            print(f"  {setting.part:10} {setting.name}")


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="WorkerPool beside other job queues.")
    parser.add_argument("--quick", action="store_true", help="everything with few jobs: does the harness work?")
    parser.add_argument("--only", action="append", metavar="NAME", help="this contender only; may be repeated")
    parser.add_argument("--measure", action="append", choices=MEASURES, help="this measure only; may be repeated")
    parser.add_argument("--list", action="store_true", help="show contenders and settings, then stop")
    parser.add_argument(
        "--report-only", nargs="?", const="", metavar="FILE", help="render FILE (default: the newest results)"
    )
    parser.add_argument("--share", type=float, default=1.0, help="share of a full run's no-op jobs, 0.1 for a tenth")
    parser.add_argument("--attempts", type=int, help="runs at most for a figure when the machine is disturbed (6)")
    parser.add_argument("--rounds", type=int, help="runs per figure (default: 3, quick: 1)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="core of the worker")
    parser.add_argument("--url", help="use this server (without a database name) instead of starting one")
    parser.add_argument("--postgres", metavar="DIR", help="directory of initdb and postgres (default: Debian's 15)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where to keep the JSON lines")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="where to write benchmarks.md and its plot")
    return parser
