"""`python -m benchmarks.wakeup`: measures, keeps the figures, prints the section of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.records import machine
from benchmarks.wakeup import measure, report
from benchmarks.wakeup.stage import stage


def main() -> None:
    """Run the command; `make bench`, or `python -m benchmarks --report-only`, puts the newest figures on the page."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: cluster and server are stopped
    arguments = _parser().parse_args()
    now = datetime.now(UTC)
    with stage() as place:
        found = {
            "about": {"date": f"{now:%Y-%m-%d %H:%M} UTC", **machine()},
            "wakeups": [dataclasses.asdict(one) for one in measure.wakeups(place, arguments.wakeups)],
            "load": os.getloadavg(),
            "starts": [dataclasses.asdict(one) for one in measure.starts(place, arguments.starts)],
        }
    path: Path = arguments.results / f"{now:%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(report.section(path))
    print(f"results: {path}")


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wakeup", description="How soon a pool at zero wakes up."
    )
    parser.add_argument("--wakeups", type=int, default=200, help="of pools whose pods start nowhere (200)")
    parser.add_argument("--starts", type=int, default=20, help="of a pool whose pods start and work (20)")
    parser.add_argument("--results", type=Path, metavar="DIR", default=report.WAKEUPS, help="where to keep the figures")
    return parser


if __name__ == "__main__":
    main()
