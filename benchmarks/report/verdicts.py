"""What was asked of WorkerPool, what was measured, and where others are ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS
from benchmarks.report.summary import LIMITS, US, Figure, ours, pick

KIB = 1024
PYTHON = {contender.name for contender in CONTENDERS if contender.language == "Python"} - {US, *LIMITS}


@dataclass(frozen=True)
class Verdict:
    """One thing asked for; `met` is None where a figure is missing."""

    asked: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class Comparison:
    """One quantity by which contenders are compared."""

    measure: str
    quantity: str
    words: str
    show: Callable[[float], str]
    more_is_better: bool = False
    mode: str = ""


COMPARISONS = (
    Comparison("throughput", "per_second", "no-op jobs per second", "{:,.0f}/s".format, more_is_better=True),
    Comparison("throughput", "worker_cpu", "worker CPU", lambda seconds: f"{seconds * 1e6:.0f} us a job"),
    Comparison("throughput", "server_cpu", "server CPU", lambda seconds: f"{seconds * 1e6:.0f} us a job"),
    Comparison("throughput", "wal_work", "WAL of the work", "{:.0f} bytes a job".format),
    Comparison("throughput", "wal_enqueue", "WAL of the enqueue", "{:.0f} bytes a job".format),
    Comparison("throughput", "commits_work", "commits of the work", "{:.4f} a job".format),
    Comparison("latency", "p50", "idle pickup p50", "{:.2f} ms".format),
    Comparison("latency", "p99", "idle pickup p99", "{:.2f} ms".format),
    Comparison("enqueue", "per_second", "enqueues one by one", "{:,.0f}/s".format, more_is_better=True, mode="single"),
    Comparison("enqueue", "per_second", "enqueues by 1,000", "{:,.0f}/s".format, more_is_better=True, mode="batch"),
    Comparison("sleep", "per_second", "10-ms jobs per second", "{:,.0f}/s".format, more_is_better=True),
)


def verdicts(found: Sequence[Figure]) -> list[Verdict]:
    """The targets that were set before the engine was written."""
    speed = _median(ours(found, "throughput"), "per_second")
    best = _speeds(found, part="")
    python = {name: value for name, value in best.items() if name.split(",")[0] in PYTHON}
    answers = [
        times("more no-op jobs per second than every other contender at its best setting", speed, best, 1.0),
        times("at least twice the best Python contender", speed, python, 2.0),
        times("at least twice each contender's unbatched setting", speed, _speeds(found, part="unbatched"), 2.0),
        _below("idle pickup p50 under 10 ms", _median(ours(found, "latency"), "p50"), 10.0, "{:.2f} ms"),
        _below("WAL under 0.8 KiB per job without history", _wal(found), 0.8 * KIB, "{:.0f} bytes"),
    ]
    sleeps = {_label(figure): figure.values["per_second"].median for figure in _others(found, "sleep")}
    small = _median(ours(found, "sleep"), "per_second")
    answers.append(times("as many 10-ms jobs at concurrency 10 as any other contender", small, sleeps, 1.0))
    return answers


def behind(found: Sequence[Figure], comparisons: Sequence[Comparison] = COMPARISONS) -> Iterator[str]:
    """A sentence for every quantity in which another contender is ahead of WorkerPool."""
    if ours(found, comparisons[0].measure) is None:
        yield "not measured in this run."
    for comparison in comparisons:
        mine = _median(ours(found, comparison.measure, comparison.mode), comparison.quantity)
        rivals = [
            (value, _label(figure))
            for figure in _others(found, comparison.measure, comparison.mode)
            if (value := figure.median(comparison.quantity)) is not None
        ]
        if mine is None or not rivals:
            continue
        value, name = max(rivals) if comparison.more_is_better else min(rivals)
        if (value > mine) if comparison.more_is_better else (value < mine):
            yield f"{comparison.words}: {name} has {comparison.show(value)}, WorkerPool {comparison.show(mine)}."


def _speeds(found: Sequence[Figure], part: str) -> dict[str, float]:
    """No-op jobs per second of the others."""
    figures = [figure for figure in _others(found, "throughput") if part in {"", figure.part}]
    return {_label(figure): figure.values["per_second"].median for figure in figures}


def _others(found: Sequence[Figure], measure: str, mode: str = "") -> list[Figure]:
    """The figures of the other job queues."""
    return [figure for figure in pick(found, measure, mode=mode) if figure.contender not in {US, *LIMITS}]


def _label(figure: Figure) -> str:
    return f"{figure.contender}, {figure.setting}"


def _wal(found: Sequence[Figure]) -> float | None:
    """WAL bytes of a job from enqueue to finish."""
    mine = ours(found, "throughput")
    enqueue, work = _median(mine, "wal_enqueue"), _median(mine, "wal_work")
    return None if enqueue is None or work is None else enqueue + work


def _median(figure: Figure | None, quantity: str) -> float | None:
    return figure.median(quantity) if figure else None


def times(asked: str, mine: float | None, rivals: dict[str, float], factor: float) -> Verdict:
    """Whether `mine` is at least `factor` times the largest rival."""
    if mine is None or not rivals:
        return Verdict(asked, "not measured", None)
    name = max(rivals, key=lambda rival: rivals[rival])
    ratio = mine / rivals[name]
    return Verdict(asked, f"{ratio:.2f}x the nearest ({name})", ratio >= factor)


def _below(asked: str, value: float | None, limit: float, form: str) -> Verdict:
    """Whether `value` is under `limit`."""
    if value is None:
        return Verdict(asked, "not measured", None)
    return Verdict(asked, form.format(value), value < limit)
