"""The page docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.rabbitmq import report as rabbitmq
from benchmarks.records import Results
from benchmarks.report import chart, common, tables
from benchmarks.report.summary import figures
from benchmarks.report.verdicts import behind, verdicts
from benchmarks.wakeup import report as wakeup

HERE = Path(__file__).parent
PLOT = "benchmarks.svg"
MODES = {"single": "one by one", "batch": "1,000 a call", "copy": "COPY"}


def write(results: Results, docs: Path, source: str, on_rabbitmq: Path | None = None) -> Iterator[Path]:
    """Write the page and its plots into `docs`; yields what was written.

    `on_rabbitmq`: the figures of the other command, the newest ones when None.
    """
    others = on_rabbitmq or rabbitmq.newest()
    plots = {PLOT: chart.svg(figures(results))} | ({rabbitmq.PLOT: rabbitmq.plot(others)} if others else {})
    for name, drawn in plots.items():
        (docs / name).write_text(drawn, encoding="utf-8")
        yield docs / name
    page = docs / "benchmarks.md"
    page.write_text(text(results, source, others), encoding="utf-8")
    yield page


def text(results: Results, source: str = "", on_rabbitmq: Path | None = None) -> str:
    """The page; `source` is the name of the results file, `on_rabbitmq` the other command's results."""
    found = figures(results)
    sections = [
        _head(results, source),
        f"## What was asked\n\n{common.asked(verdicts(found))}",
        f"## No-op jobs\n\n![No-op jobs per second]({PLOT})\n\n{tables.throughput(found)}",
        f"## Idle pickup\n\n{_part('latency')}\n\n{tables.latency(found)}",
        f"## Jobs of 10 ms, at most 10 at once\n\n{_part('sleep')}\n\n{tables.sleeping(found)}",
        f"## Enqueue\n\n{_part('enqueue')}\n\n{tables.enqueueing(found, MODES)}",
        f"## Where WorkerPool is behind\n\n{common.behind(behind(found))}",
        _part("notes"),
        _part("method"),
        *([rabbitmq.section(on_rabbitmq)] if on_rabbitmq else []),
        *_wakeup(),
    ]
    return "\n".join(f"{section.strip()}\n" for section in sections)


def _wakeup() -> Iterator[str]:
    """The section of another command, from its newest figures."""
    if path := wakeup.newest():
        yield wakeup.section(path)


def _head(results: Results, source: str) -> str:
    """Title, machine and versions."""
    machine = results.machine
    settings = ", ".join(f"{name}={value}" for name, value in machine["settings"].items())
    uvloop = f"uvloop {machine['versions']['project uvloop']}"
    flush = f", fdatasync {machine['fdatasync_us']} us" if machine["fdatasync_us"] else ""
    rows = [
        ["measured", f"{machine['date']}, by `{machine['command']}`, WorkerPool at commit {machine['commit']}"],
        [
            "machine",
            (
                f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
                f"{machine['system']}{flush}"
            ),
        ],
        ["server", f"Postgres {machine['postgres']}, loopback TCP, {settings}"],
        ["versions", common.versions(results, CONTENDERS, uvloop)],
        ["raw figures", f"benchmarks/results/{source}" if source else "not kept"],
    ]
    quick = (
        ""
        if machine["scale"] == "full"
        else "**A quick run: it shows that the harness works, not how fast anything is.**\n\n"
    )
    return f"# Benchmarks\n\n{_part('introduction')}\n\n{quick}{tables.markdown(['', ''], rows)}"


def _part(name: str) -> str:
    """A hand-written part of the page."""
    return (HERE / f"{name}.md").read_text(encoding="utf-8").strip()
