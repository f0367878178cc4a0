"""The section of docs/benchmarks.md about RabbitMQ, and its plot, made from a results file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import records
from benchmarks.rabbitmq.contenders import CONTENDERS
from benchmarks.rabbitmq.profiled import profile
from benchmarks.rabbitmq.verdicts import COMPARISONS, verdicts
from benchmarks.report import chart, common, tables
from benchmarks.report.summary import Figure, figures, ours
from benchmarks.report.verdicts import behind

RESULTS = records.RESULTS / "rabbitmq"
HERE = Path(__file__).parent
PLOT = "benchmarks-rabbitmq.svg"
QUICK = "**A quick run: it shows that the harness works, not how fast it is.**"


def newest() -> Path | None:
    """The newest results, None without any."""
    return max(RESULTS.glob("*.jsonl"), default=None)


def plot(path: Path) -> str:
    """The plot of these results, as SVG."""
    return chart.svg(figures(records.read(path)), "noop", "messages")


def section(path: Path) -> str:
    """The section, with these results."""
    results = records.read(path)
    found = figures(results)
    parts = [
        _part("text"),
        _head(results, path),
        f"### Asked\n\n{common.asked(verdicts(found))}",
        f"### No-op messages\n\n![No-op messages per second on RabbitMQ]({PLOT})\n\n{_speed(found, 'noop')}",
        f"### Archive: every message an object in an S3 server\n\n{_speed(found, 'archive')}",
        f"### After `kill -9` in the middle\n\n{_killed(found)}",
        f"### Where WorkerPool is behind\n\n{common.behind(behind(found, COMPARISONS))}",
        f"### Where the time of a message goes\n\n{profile(results)}",
        _part("notes"),
    ]
    return "\n\n".join(part.strip() for part in parts)


def _head(results: records.Results, path: Path) -> str:
    """Machine and versions."""
    about = results.machine
    quick = "" if about["scale"] == "full" else f"{QUICK}\n\n"
    computer = f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}"
    kept = f"benchmarks/results/rabbitmq/{path.name}" if path.parent == RESULTS else "not kept"
    origin = f"{about['date']}, by `{about['command']}`, WorkerPool at commit {about['commit']}"
    client = ", ".join(f"{name} {number}" for name, number in about["ours"].items())
    rows = [
        ["measured", origin],
        ["machine", f"{computer}, fdatasync {about['fdatasync_us']} us"],
        ["broker", f"RabbitMQ {about['rabbitmq']} on Erlang {about['erlang']}, its own defaults, loopback TCP"],
        ["versions", common.versions(results, CONTENDERS)],
        ["WorkerPool's client", client],
        ["raw figures", kept],
    ]
    return f"{quick}{tables.markdown(['', ''], rows)}"


def _speed(found: Sequence[Figure], measure: str) -> str:
    """Rates, and what a message costs."""
    mine = ours(found, measure)
    at = next((figure.median("rate") for figure in found if figure.measure == measure and figure.values), None) or 0
    columns: list[tables.Column] = [
        ("messages/s, median (min to max)", lambda figure: tables.rate(figure.values.get("per_second"))),
        ("to WorkerPool", lambda figure: tables.ratio(figure, mine, "per_second")),
        ("worker CPU s per 1,000", lambda figure: tables.number(figure, "worker_cpu", 1000, 3)),
        ("servers' CPU s per 1,000", lambda figure: tables.number(figure, "server_cpu", 1000, 3)),
        (f"p50 ms at {at:.0f}/s", lambda figure: tables.number(figure, "p50", 1, 1)),
        (f"p99 ms at {at:.0f}/s", lambda figure: tables.number(figure, "p99", 1, 1)),
        ("memory MiB", lambda figure: tables.number(figure, "rss_mib", 1, 0)),
        ("left in the queue", lambda figure: tables.number(figure, "left", 1, 0)),
    ]
    return tables.table(found, measure, columns)


def _killed(found: Sequence[Figure]) -> str:
    """Losses and duplicates, a row per setting."""
    kinds = {figure.mode: figure for figure in found if figure.measure == "kill"}
    heads = ["contender", "setting"]
    for kind in kinds:
        heads += [f"{kind}: messages", "lost", "twice", "left in the queue"]
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in found:
        if figure.measure == "kill":
            rows.setdefault((figure.contender, figure.setting), {})[figure.mode] = figure
    cells = []
    for names, by_kind in rows.items():
        row = [*names]
        for kind in kinds:
            row += _counts(by_kind.get(kind))
        cells.append(row)
    return tables.markdown(heads, cells)


def _counts(figure: Figure | None) -> list[str]:
    if figure is None or not figure.values:
        return ["", "failed" if figure else "", "", ""]
    return [tables.number(figure, name, 1, 0) for name in ("messages", "lost", "twice", "left")]


def _part(name: str) -> str:
    """A hand-written part of the section."""
    return (HERE / f"{name}.md").read_text(encoding="utf-8").strip()
