"""The benchmark's report: from records to figures, verdicts, tables and the plot."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks.model import Record
from benchmarks.records import Results
from benchmarks.report import chart, page
from benchmarks.report.summary import figures, ours
from benchmarks.report.verdicts import Verdict, behind, verdicts

MACHINE = {
    "date": "2030-01-01 00:00 UTC",
    "scale": "full",
    "processor": "abacus",
    "cores": 2,
    "memory_gib": 8,
    "system": "Linux",
    "fdatasync_us": 100,
    "postgres": "15.0",
    "settings": {"fsync": "on"},
    "python": "3.11.7",
    "commit": "abc",
    "command": "python -m benchmarks",
    "versions": {"project uvloop": "1", "pgqueuer": "2"},
}


def _speed(contender: str, rate: float, *, part: str = "best", setting: str = "s", clean: bool = True) -> Record:
    values = {
        "per_second": rate,
        "worker_cpu": 1 / rate,
        "server_cpu": None,
        "wal_enqueue": 200.0,
        "wal_work": 300.0,
        "commits_enqueue": 0.001,
        "commits_work": 0.01,
    }
    return Record("throughput", contender, setting, part, values, clean)


def _results(*records: Record) -> Results:
    return Results(MACHINE, records)


def _verdict(results: Results, start: str) -> Verdict:
    return next(verdict for verdict in verdicts(figures(results)) if verdict.asked.startswith(start))


def test_only_clean_runs_count_and_the_middle_one_is_shown() -> None:
    runs = [_speed("WorkerPool", rate) for rate in (900.0, 1000.0, 1300.0)]
    figure = ours(figures(_results(*runs, _speed("WorkerPool", 10.0, clean=False))), "throughput")
    assert figure is not None
    spread = figure.values["per_second"]
    assert (spread.low, spread.median, spread.high, figure.runs, figure.disturbed) == (900, 1000, 1300, 3, False)


def test_without_a_clean_run_the_disturbed_ones_count_and_are_marked() -> None:
    results = _results(_speed("WorkerPool", 10.0, clean=False))
    figure = ours(figures(results), "throughput")
    assert figure is not None
    assert figure.disturbed
    assert "WorkerPool \\*" in page.text(results)


@pytest.mark.parametrize(("rival", "met"), [(500.0, True), (501.0, False)])
def test_twice_the_best_python_contender(rival: float, met: bool) -> None:
    records = (_speed("WorkerPool", 1000.0), _speed("pgqueuer", rival), _speed("graphile-worker", 900.0))
    assert _verdict(_results(*records), "at least twice the best Python").met is met


def test_the_bare_loop_is_no_rival() -> None:
    records = (_speed("WorkerPool", 1000.0), _speed("bare asyncpg loop", 9000.0), _speed("oban", 100.0))
    assert _verdict(_results(*records), "more no-op jobs").met is True


def test_a_missing_figure_is_no_verdict() -> None:
    assert _verdict(_results(_speed("pgqueuer", 1.0)), "idle pickup").met is None


def test_where_others_are_ahead_is_said() -> None:
    sentences = list(behind(figures(_results(_speed("WorkerPool", 1000.0), _speed("pg-boss", 2000.0)))))
    assert sentences[0] == "no-op jobs per second: pg-boss, s has 2,000/s, WorkerPool 1,000/s."


def test_a_failure_and_an_absent_contender_show_their_reasons() -> None:
    failure = Record("throughput", "pgqueuer", "s", "best", error="ended with 1 | Traceback")
    absence = Record("install", "oban", "", "", error="not installable because it needs Python 3.12")
    text = page.text(_results(failure, absence))
    assert "failed: ended with 1 / Traceback" in text
    assert "oban: not installable because it needs Python 3.12" in text


def test_ratios_are_to_workerpool() -> None:
    text = page.text(_results(_speed("WorkerPool", 1000.0), _speed("pg-boss", 250.0)))
    assert "| pg-boss | s (best) | 1 | 250 (250 to 250) | 0.25x |" in text


def test_the_plot_is_an_svg_with_a_bar_per_setting() -> None:
    records = (_speed("WorkerPool", 21_000.0), _speed("a <b> & c", 5000.0), _speed("pg-boss", 0.4))
    root = ET.fromstring(chart.svg(figures(_results(*records))))  # noqa: S314 (our own text)
    bars = [rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if rect.get("x")]
    widths = [float(bar.get("width", "0")) for bar in bars]
    assert widths == sorted(widths, reverse=True)
    assert len(widths) == 3
