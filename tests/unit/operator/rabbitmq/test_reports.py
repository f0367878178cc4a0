"""What runners said: kept, added up, forgotten; and totals that only grow."""

from typing import Any

from workerpool_contract.runnerreport import RunnerReport
from workerpool_operator.backlog.rabbitmq.reports import SILENCE, WINDOW, Reports
from workerpool_operator.backlog.rabbitmq.totals import Totals


def report(boot: str = "b", held: int = 0, *queues: str, **more: Any) -> RunnerReport:
    """A runner of these queues, or of "q"; it holds jobs of the first."""
    names = queues or ("q",)
    return RunnerReport(boot, f"pod-{boot}", names, 4, held, {names[0]: held}, **more)


def test_each_runner_counts_once_by_its_last_report() -> None:
    reports = Reports()
    reports.take(report("a", 1), 0)
    reports.take(report("b", 2), 1)
    reports.take(report("a", 5), 2)
    assert sorted((it.boot, it.held["q"]) for it in reports.fresh(3)["q"]) == [("a", 5), ("b", 2)]
    assert sorted((it.name, it.busy, it.age) for it in reports.runners("q", 3)) == [("pod-a", 5, 1), ("pod-b", 2, 2)]


def test_who_is_gone_or_silent_is_forgotten() -> None:
    reports = Reports()
    reports.take(report("a", 1), 0)
    reports.take(report("b", 2), 10)
    reports.take(report("a", gone=True), 11)
    assert [it.boot for it in reports.fresh(12)["q"]] == ["b"]
    assert reports.fresh(10 + SILENCE)["q"]
    assert reports.fresh(11 + SILENCE) == {}
    assert reports.peak("q", 12 + SILENCE + WINDOW) == 0


def test_a_last_word_of_somebody_unknown_is_nothing() -> None:
    reports = Reports()
    reports.take(report("a", 3, gone=True), 0)
    assert (reports.fresh(0), reports.peak("q", 0)) == ({}, 0)


def test_a_runner_that_drains_is_found_by_what_it_holds() -> None:
    reports = Reports()
    reports.take(RunnerReport("a", "pod", (), 4, 1, {"q": 1}), 0)
    assert [it.name for it in reports.runners("q", 0)] == ["pod"]
    assert reports.fresh(0).keys() == {"q"}


def test_the_peak_is_remembered_as_long_as_a_page_may_show_it() -> None:
    reports = Reports()
    reports.take(report("a", 7), 0)
    assert reports.peak("q", 100) == 7
    reports.take(report("a", 1), 100)
    reports.take(report("b", 1), 100.5)
    assert reports.peak("q", 100 + WINDOW) == 7
    assert reports.peak("q", 102 + WINDOW) == 2


def test_attempts_are_counted_from_the_first_report_on() -> None:
    reports = Reports()
    reports.take(report("a", completed={"q": 100}, failed={"q": 7}), 0)
    reports.take(report("a", completed={"q": 103}, failed={"q": 8}), 1)
    reports.take(report("a", completed={"q": 104}, failed={"q": 8}, gone=True), 2)
    reports.take(report("a2"), 3)
    reports.take(report("a2", completed={"q": 2}), 4)
    assert reports.attempts("q") == (6, 1)


def test_attempts_of_a_runner_of_several_queues_count_for_the_queue_of_each() -> None:
    reports = Reports()
    reports.take(report("a", 1, "p", "q", completed={"p": 2}), 0)
    reports.take(report("a", 1, "p", "q", completed={"p": 3, "q": 5}, failed={"q": 4}), 1)
    reports.take(RunnerReport("a", "pod-a", (), 4, 0, {}, {"p": 4, "q": 5}, {"q": 4}, gone=True), 2)
    assert (reports.attempts("p"), reports.attempts("q")) == ((2, 0), (5, 4))
    assert reports.attempts("other") == (0, 0)


def test_a_runner_is_shown_with_the_attempts_of_all_its_queues() -> None:
    reports = Reports()
    reports.take(report("a", 1, "p", "q", completed={"p": 3, "q": 5}, failed={"q": 4}), 0)
    assert [(it.completed, it.failed) for it in reports.runners("q", 0)] == [(8, 4)]


def test_totals_never_fall_and_count_nobody_twice() -> None:
    totals = Totals()
    assert totals.add("q", (5, 0), 100, reporting=True) == (5, 0)
    assert totals.add("q", (8, 1), 108, reporting=True) == (8, 1)
    assert totals.add("q", (8, 1), None, reporting=False) == (8, 1)
    assert totals.add("q", (8, 1), 110, reporting=False) == (10, 1)
    assert totals.add("q", (8, 1), 3, reporting=False) == (10, 1)
    assert totals.add("q", (8, 1), 5, reporting=False) == (12, 1)
