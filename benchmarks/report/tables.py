"""Markdown tables of the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.report.summary import Figure, Spread, ours, pick

Column = tuple[str, Callable[[Figure], str]]
MISSING = "n/a"


def throughput(found: Sequence[Figure]) -> str:
    """No-op jobs: speed and what each costs."""
    mine = ours(found, "throughput")
    columns: list[Column] = [
        ("jobs/s, median (min to max)", lambda figure: rate(figure.values.get("per_second"))),
        ("to WorkerPool", lambda figure: ratio(figure, mine, "per_second")),
        ("worker CPU s per 1,000", lambda figure: number(figure, "worker_cpu", 1000, 3)),
        ("server CPU s per 1,000", lambda figure: number(figure, "server_cpu", 1000, 3)),
        ("WAL bytes per job, enqueue + work", _wal),
        ("commits per job, enqueue + work", _commits),
    ]
    return table(found, "throughput", columns)


def latency(found: Sequence[Figure]) -> str:
    """Idle pickup."""
    mine = ours(found, "latency")
    columns: list[Column] = [
        ("p50 ms", lambda figure: number(figure, "p50", 1, 2)),
        ("p99 ms", lambda figure: number(figure, "p99", 1, 2)),
        ("worst ms", lambda figure: number(figure, "worst", 1, 2)),
        ("p50 ms after the enqueue returned", lambda figure: number(figure, "p50_after_return", 1, 2)),
        ("p50 to WorkerPool", lambda figure: ratio(figure, mine, "p50")),
    ]
    return table(found, "latency", columns)


def sleeping(found: Sequence[Figure]) -> str:
    """10-ms jobs."""
    mine = ours(found, "sleep")
    columns: list[Column] = [
        ("jobs/s, median (min to max)", lambda figure: rate(figure.values.get("per_second"))),
        ("share of the ideal 1,000/s", lambda figure: number(figure, "per_second", 0.1, 0) + " %"),
        ("to WorkerPool", lambda figure: ratio(figure, mine, "per_second")),
        ("worker CPU s per 1,000", lambda figure: number(figure, "worker_cpu", 1000, 3)),
    ]
    return table(found, "sleep", columns)


def enqueueing(found: Sequence[Figure], modes: dict[str, str]) -> str:
    """Enqueue rates, a table row per contender and way."""
    columns: list[Column] = [
        ("jobs/s, median (min to max)", lambda figure: rate(figure.values.get("per_second"))),
        ("to WorkerPool", lambda figure: ratio(figure, ours(found, "enqueue", figure.mode), "per_second")),
        ("producer CPU s per 1,000", lambda figure: number(figure, "producer_cpu", 1000, 3)),
        ("server CPU s per 1,000", lambda figure: number(figure, "server_cpu", 1000, 3)),
        ("WAL bytes per job", lambda figure: number(figure, "wal", 1, 0)),
    ]
    rows = [figure for mode in modes for figure in found if figure.measure == "enqueue" and figure.mode == mode]
    heads = ["contender", "way", *(name for name, _ in columns)]
    cells = [[_name(row), modes[row.mode], *(cell(row) for _, cell in columns)] for row in rows]
    return markdown(heads, cells)


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [_line(heads), _line("---" for _ in heads), *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def table(found: Sequence[Figure], measure: str, columns: Sequence[Column]) -> str:
    """The figures of one measure, a row per setting; the failed ones at the end, with their reason."""
    heads = ["contender", "setting", "runs", *(name for name, _ in columns)]
    cells = []
    failed = (figure for figure in found if figure.measure == measure and not figure.values)
    for row in (*pick(found, measure), *failed):
        setting = f"{row.setting} ({row.part})" if row.part != "extra" else row.setting
        if row.values:
            cells.append([_name(row), setting, str(row.runs), *(cell(row) for _, cell in columns)])
        else:
            cells.append([_name(row), setting, "0", f"failed: {_plain(row.error)}", *[""] * (len(columns) - 1)])
    return markdown(heads, cells)


def _name(figure: Figure) -> str:
    return f"{figure.contender} \\*" if figure.disturbed else figure.contender


def _plain(text: str) -> str:
    """Text that can't break a table."""
    return text.replace("|", "/").replace("\n", " ")[:200]


def rate(spread: Spread | None) -> str:
    """Median, least and most, per second."""
    if spread is None:
        return MISSING
    return f"{spread.median:,.0f} ({spread.low:,.0f} to {spread.high:,.0f})"


def number(figure: Figure, quantity: str, factor: float, digits: int) -> str:
    """The median of a quantity, times `factor`."""
    median = figure.median(quantity)
    return MISSING if median is None else f"{median * factor:,.{digits}f}"


def _wal(figure: Figure) -> str:
    return f"{number(figure, 'wal_enqueue', 1, 0)} + {number(figure, 'wal_work', 1, 0)}"


def _commits(figure: Figure) -> str:
    return f"{number(figure, 'commits_enqueue', 1, 3)} + {number(figure, 'commits_work', 1, 3)}"


def ratio(figure: Figure, mine: Figure | None, quantity: str) -> str:
    """The figure as a multiple of WorkerPool's."""
    reference = mine.median(quantity) if mine else None
    value = figure.median(quantity)
    return MISSING if not reference or value is None else f"{value / reference:.2f}x"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
