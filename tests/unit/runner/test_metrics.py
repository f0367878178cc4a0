"""Counters: cheap to write, and read by the standard's own parser as they were written."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from workerpool.archive.counts import ArchiveCounts
from workerpool.exposition import QueueCounts, merge, queue_json, render
from workerpool.metrics import DURATION_BOUNDS, STATUS_OF, Gauges, Metrics, Status
from workerpool.outcome import DeadLetter, DeadReason, Expired, Interrupted, Outcome, Retry, Stale, Succeeded

DOCUMENT = Path(__file__).parents[3] / "docs" / "probes-and-metrics.md"


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The exposition as the reference parser understands it."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def counted() -> Metrics:
    metrics = Metrics()
    metrics.add_worker("certify", "model-certification")
    metrics.observe("certify", Status.COMPLETED, 0.02)
    metrics.observe("certify", Status.RETRIED, 3.0)
    metrics.observe("certify", Status.DEAD, 1000.0)
    metrics.observe("certify", Status.EXPIRED, 0.0)
    return metrics


def test_each_attempt_counts_once_and_timed_ones_enter_the_histogram() -> None:
    read = samples(render(counted(), Gauges()))
    labels = {("worker", "certify"), ("queue", "model-certification")}
    by_status = {status: read["workerpool_jobs_total", frozenset(labels | {("status", status)})] for status in Status}
    assert by_status == {
        "completed": 1,
        "retried": 1,
        "dead": 1,
        "expired": 1,
        "interrupted": 0,
        "stale": 0,
        "cancelled": 0,
    }
    assert read["workerpool_job_duration_seconds_count", frozenset(labels)] == 3
    assert read["workerpool_job_duration_seconds_sum", frozenset(labels)] == pytest.approx(1003.02)
    assert read["workerpool_job_duration_seconds_bucket", frozenset(labels | {("le", "0.025")})] == 1
    assert read["workerpool_job_duration_seconds_bucket", frozenset(labels | {("le", "900")})] == 2
    assert read["workerpool_job_duration_seconds_bucket", frozenset(labels | {("le", "+Inf")})] == 3


def test_gauges_and_engine_counters_are_written() -> None:
    metrics = counted()
    metrics.stale_settlements = 1
    metrics.flush_size.observe(100)
    metrics.loop_lag_seconds.observe(0.002)
    read = samples(render(metrics, Gauges(busy=3, buffered=4, concurrency=10, draining=True, connected=False)))
    plain = {name: value for (name, labels), value in read.items() if not labels}
    assert plain["workerpool_jobs_in_flight"] == 3
    assert plain["workerpool_jobs_buffered"] == 4
    assert plain["workerpool_concurrency"] == 10
    assert plain["workerpool_draining"] == 1
    assert plain["workerpool_source_connected"] == 0
    assert plain["workerpool_stale_settlements_total"] == 1
    assert plain["workerpool_settle_jobs_sum"] == 100
    assert plain["workerpool_loop_lag_seconds_count"] == 1


def test_a_worker_shows_at_zero_before_its_first_job() -> None:
    metrics = Metrics()
    metrics.add_worker("certify", "q")
    assert (
        samples(render(metrics, Gauges()))[
            "workerpool_jobs_total", frozenset({("worker", "certify"), ("queue", "q"), ("status", "completed")})
        ]
        == 0
    )


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_name_survives_as_a_label(name: str) -> None:
    metrics = Metrics()
    metrics.add_worker(name, "q")
    assert ("worker", name) in {pair for _, labels in samples(render(metrics, Gauges())) for pair in labels}


@given(st.lists(st.floats(min_value=0, max_value=2000), min_size=1), st.sampled_from(list(Status)))
def test_a_batch_counts_as_its_jobs_would_one_by_one(durations: list[float], status: Status) -> None:
    single, batch = Metrics(), Metrics()
    for metrics in (single, batch):
        metrics.add_worker("w", "q")
    for duration in durations:
        single.observe("w", status, duration)
    batch.observe_many("w", status, durations)
    assert batch.series["w"].counts == single.series["w"].counts
    assert batch.series["w"].duration.counts == single.series["w"].duration.counts
    assert batch.series["w"].duration.total == pytest.approx(single.series["w"].duration.total)
    assert sum(batch.series["w"].duration.counts) <= len(durations)


def test_service_time_starts_with_the_first_job_and_follows_the_later_ones() -> None:
    metrics = Metrics()
    metrics.add_worker("w", "q")
    assert metrics.service_seconds is None
    metrics.observe("w", Status.EXPIRED, 0.0)
    assert metrics.service_seconds is None
    metrics.observe("w", Status.COMPLETED, 1.0)
    assert metrics.service_seconds == 1.0
    metrics.observe_many("w", Status.COMPLETED, [3.0] * 200)
    assert metrics.service_seconds == pytest.approx(3.0, abs=0.01)


def test_totals_sum_over_workers() -> None:
    metrics = counted()
    metrics.add_worker("other", "q2")
    metrics.observe_many("other", Status.COMPLETED, [0.1, 0.1])
    assert (metrics.completed, metrics.failed) == (3, 2)


def test_every_outcome_has_a_status() -> None:
    outcomes: list[Outcome] = [
        Succeeded(),
        Retry(1, "e"),
        DeadLetter(DeadReason.ERROR, "e"),
        Expired(),
        Interrupted(),
        Stale(),
    ]
    assert [STATUS_OF[type(outcome)] for outcome in outcomes] == [
        "completed", "retried", "dead", "expired", "interrupted", "stale",
    ]  # fmt: skip


def test_queue_counts_come_from_the_source_where_it_knows_them() -> None:
    metrics, gauges = counted(), Gauges(busy=2)
    assert queue_json(metrics, gauges, None) == {
        "waiting": None, "active": 2, "completed": 1, "failed": 2, "delayed": None,
    }  # fmt: skip
    assert queue_json(metrics, gauges, QueueCounts(waiting=5, active=4, completed=150, failed=3, delayed=0)) == {
        "waiting": 5, "active": 4, "completed": 150, "failed": 3, "delayed": 0,
    }  # fmt: skip


def test_merging_labels_every_sample_and_writes_each_header_once() -> None:
    one = render(counted(), Gauges(busy=1))
    two = render(counted(), Gauges(busy=2))
    merged = merge({"0": one, "1": two})
    read = samples(merged)
    assert read["workerpool_jobs_in_flight", frozenset({("process", "0")})] == 1
    assert read["workerpool_jobs_in_flight", frozenset({("process", "1")})] == 2
    assert len(read) == len(samples(one)) * 2
    assert merged.count("# TYPE workerpool_jobs_total ") == 1


def test_merging_nothing_is_nothing() -> None:
    assert merge({}) == ""


def test_bounds_rise() -> None:
    assert list(DURATION_BOUNDS) == sorted(set(DURATION_BOUNDS))


def test_the_document_lists_exactly_the_metrics_that_are_served() -> None:
    text = render(counted(), Gauges()) + ArchiveCounts().text(is_up=True)
    served = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    listed = set(re.findall(r"^\| `(workerpool_\w+)", DOCUMENT.read_text(), re.MULTILINE))
    assert listed == served
