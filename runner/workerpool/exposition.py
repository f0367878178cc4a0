"""Counters as text and JSON: the Prometheus exposition format, and the JSON that the certification worker served.

Pure: numbers in, text out. docs/probes-and-metrics.md lists every metric written here; a test keeps the two equal.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from workerpool.metrics import Gauges, Histogram, Metrics, Status

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (.+)$")

Sample = tuple[str, Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, type, one line of help, and its samples as (suffix, labels, value)."""

    name: str
    kind: str
    text: str
    samples: Iterable[Sample]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Counts of a queue as its source knows them (jobs); None where the source doesn't say."""

    waiting: int | None = None
    active: int | None = None
    completed: int | None = None
    failed: int | None = None
    delayed: int | None = None


def render(metrics: Metrics, gauges: Gauges) -> str:
    """Every metric of one process in the Prometheus text format, version 0.0.4."""
    return text_of(_families(metrics, gauges))


def text_of(families: Iterable[Family]) -> str:
    """These metrics in the Prometheus text format."""
    return "".join(_lines(family) for family in families)


def queue_json(metrics: Metrics, gauges: Gauges, counts: QueueCounts | None) -> dict[str, int | None]:
    """The ``queue`` object of /metrics as JSON; without ``counts`` what this process knows, null for the rest."""
    known = counts if counts is not None else QueueCounts()
    return {
        "waiting": known.waiting,
        "active": gauges.busy if known.active is None else known.active,
        "completed": metrics.completed if known.completed is None else known.completed,
        "failed": metrics.failed if known.failed is None else known.failed,
        "delayed": known.delayed,
    }


def merge(texts: Mapping[str, str]) -> str:
    """One exposition out of several processes': each sample gets the label ``process``, each family its header once."""
    headers: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for process, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                headers.setdefault(family, [])
            if line.startswith("#"):
                if line not in headers[family]:
                    headers[family].append(line)
            elif (match := _SAMPLE.match(line)) is not None:
                name, labels, value = match.groups()
                label = f'process="{_escape(process)}"' + (f",{labels}" if labels else "")
                samples.setdefault(family, []).append(f"{name}{{{label}}} {value}")
    return "".join(f"{line}\n" for name, head in headers.items() for line in (*head, *samples.get(name, ())))


def _families(metrics: Metrics, gauges: Gauges) -> Iterator[Family]:
    series = [*metrics.series.values()]
    yield Family(
        "workerpool_jobs_total",
        "counter",
        "Attempts by how they ended.",
        [
            ("", {"worker": one.worker, "queue": one.queue, "status": status}, one.counts[status])
            for one in series
            for status in Status
        ],
    )
    yield Family(
        "workerpool_job_duration_seconds",
        "histogram",
        "Time that the handler ran, for attempts that completed, were retried or died.",
        [sample for one in series for sample in _buckets(one.duration, {"worker": one.worker, "queue": one.queue})],
    )
    yield gauge("workerpool_jobs_in_flight", "Jobs whose handler is running now.", gauges.busy)
    yield gauge("workerpool_jobs_buffered", "Jobs claimed and not started yet.", gauges.buffered)
    yield gauge("workerpool_concurrency", "Jobs that may run at once.", gauges.concurrency)
    yield gauge("workerpool_draining", "1 while the runner finishes its jobs and claims no more.", gauges.draining)
    yield gauge("workerpool_source_connected", "1 when the queue's server answered last time.", gauges.connected)
    if metrics.service_seconds is not None:
        yield gauge("workerpool_service_seconds", "Moving average of the handler's time.", metrics.service_seconds)
    yield from _engine_families(metrics)


def _engine_families(metrics: Metrics) -> Iterator[Family]:
    yield histogram_family(
        "workerpool_job_wait_seconds",
        "From becoming claimable to the claim, of one job per claim.",
        metrics.wait_seconds,
    )
    yield histogram_family("workerpool_claim_duration_seconds", "Round trip of one claim.", metrics.claim_seconds)
    yield histogram_family("workerpool_claim_jobs", "Jobs got by one claim that got any.", metrics.claim_size)
    yield histogram_family("workerpool_settle_jobs", "Settlements sent in one batch.", metrics.flush_size)
    yield histogram_family("workerpool_loop_lag_seconds", "How late the event loop woke up.", metrics.loop_lag_seconds)
    yield counter(
        "workerpool_stale_settlements_total", "Settlements refused since the lease was lost.", metrics.stale_settlements
    )


def gauge(name: str, text: str, value: float) -> Family:
    """One number that goes up and down."""
    return Family(name, "gauge", text, [("", {}, value)])


def counter(name: str, text: str, value: float) -> Family:
    """One number that only grows."""
    return Family(name, "counter", text, [("", {}, value)])


def histogram_family(name: str, text: str, histogram: Histogram) -> Family:
    """The buckets, sum and count of one histogram."""
    return Family(name, "histogram", text, _buckets(histogram, {}))


def _buckets(histogram: Histogram, labels: Mapping[str, str]) -> list[Sample]:
    counts, total = histogram.counts.copy(), histogram.total
    running, samples = 0, []
    for bound, count in zip((*map(_number, histogram.bounds), "+Inf"), counts, strict=True):
        running += count
        samples.append(("_bucket", {**labels, "le": bound}, float(running)))
    return [*samples, ("_sum", labels, total), ("_count", labels, float(running))]


def _lines(family: Family) -> str:
    lines = [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
    for suffix, labels, value in family.samples:
        inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        lines.append(f"{family.name}{suffix}{'{' + inner + '}' if inner else ''} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


QueueCountsReader = Callable[[], QueueCounts | None]
"""Asked from the probe thread; returns what was read last and never blocks on the server."""
