"""The four measurements, each on a stage of its own; every function returns the values of one record."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from benchmarks.meter import Cost, Reading, cost
from benchmarks.model import ContenderFailed, Scale
from benchmarks.peers.spec import Mode
from benchmarks.program import Program
from benchmarks.stage import OpenStage

Values = dict[str, Any]

GAPS = (0.020, 0.080)
"""Seconds between two single enqueues of the latency measurement: the worker is idle when the next job comes."""

DROPPED = 10
"""First samples left out: the producer's caches and prepared statements fill."""


def throughput(stage: OpenStage, jobs: int) -> Values:
    """No-op jobs, enqueued first, then worked off by one process on one core."""
    stage.checkpoint()
    commits = [stage.commits()]
    filled = _fill(stage, jobs)
    commits.append(stage.commits())
    stage.vacuum()
    commits.append(stage.commits())
    untouched = stage.meter.read([])
    with stage.worker("noop", jobs) as worker:
        wall, spent, summary = _work_off(stage, worker, jobs)
    # From before the start, unlike the CPU: the first claim comes before the first handler call.
    worked = cost(untouched, stage.meter.read([]))
    commits.append(stage.commits())
    return {
        "jobs": jobs,
        "per_second": jobs / wall,
        "worker_cpu": spent.programs / jobs,
        "server_cpu": None if spent.server is None else spent.server / jobs,
        "wal_enqueue": filled.wal / jobs,
        "wal_work": worked.wal / jobs,
        "commits_enqueue": (commits[1] - commits[0]) / jobs,
        "commits_work": (commits[3] - commits[2]) / jobs,
        "handled": summary["handled"],
        "settled_ms": summary["settled_ms"],
        **_quiet(spent),
    }


def sleeping(stage: OpenStage, jobs: int) -> Values:
    """Jobs of 10 ms, at most 10 at once: the ideal is 1,000 a second."""
    _fill(stage, jobs)
    stage.vacuum()
    with stage.worker("sleep", jobs) as worker:
        wall, spent, summary = _work_off(stage, worker, jobs)
    if summary["peak"] > 10:
        raise ContenderFailed(f"ran {summary['peak']} jobs at once, 10 were asked for")
    return {
        "jobs": jobs,
        "per_second": jobs / wall,
        "peak": summary["peak"],
        "worker_cpu": spent.programs / jobs,
        "server_cpu": None if spent.server is None else spent.server / jobs,
        **_quiet(spent),
    }


def latency(stage: OpenStage, scale: Scale) -> Values:
    """Milliseconds from the call that enqueues one job to the start of its handler in an idle worker."""
    gaps = tuple(random.Random(1).uniform(*GAPS) for _ in range(scale.samples + DROPPED))
    _fill(stage, 1)
    with stage.worker("latency", 0) as worker:
        worker.hear("first")
        with stage.enqueuer("paced", 0, gaps) as producer:
            producer.hear("ready")
            time.sleep(scale.settle)
            start = stage.meter.read([worker.pid, producer.pid])
            producer.go()
            sent = producer.hear("end")["sent"]
            end = stage.meter.read([worker.pid, producer.pid])
            producer.finish()
        stage.wait_until_finished()
        # The first start is the job that woke the worker up.
        starts = dict(worker.stop()["starts"][1:])
    if len(starts) != len(sent):
        raise ContenderFailed(f"{len(sent)} jobs enqueued one by one, {len(starts)} started")
    pairs = [(starts[number] - before, starts[number] - after) for number, (before, after) in enumerate(sent)]
    from_call, from_return = ([ns / 1e6 for ns in times] for times in zip(*pairs[DROPPED:], strict=True))
    return {
        "samples": scale.samples,
        "p50": statistics.median(from_call),
        "p99": statistics.quantiles(from_call, n=100, method="inclusive")[98],
        "worst": max(from_call),
        "p50_after_return": statistics.median(from_return),
        **_quiet(cost(start, end)),
    }


def enqueueing(stage: OpenStage, mode: Mode, scale: Scale) -> Values:
    """Jobs enqueued per second by one producer, no worker running."""
    jobs = scale.single if mode == "single" else scale.bulk
    stage.checkpoint()
    with stage.enqueuer(mode, jobs) as producer:
        producer.hear("ready")
        start = stage.meter.read([producer.pid])
        producer.go()
        end = producer.hear("end")
        spent = cost(start, stage.meter.read([producer.pid]))
        producer.finish()
    return {
        "mode": mode,
        "jobs": jobs,
        "per_second": jobs / end["seconds"],
        "producer_cpu": end["cpu"] / jobs,
        "server_cpu": None if spent.server is None else spent.server / jobs,
        "wal": spent.wal / jobs,
        **_quiet(spent),
    }


def _fill(stage: OpenStage, jobs: int) -> Cost:
    """Enqueue `jobs` jobs in the contender's own bulk way; what that cost."""
    with stage.enqueuer("batch", jobs) as producer:
        producer.hear("ready")
        start = stage.meter.read([producer.pid])
        producer.go()
        producer.hear("end")
        spent = cost(start, stage.meter.read([producer.pid]))
        producer.finish()
    return spent


def _work_off(stage: OpenStage, worker: Program, jobs: int) -> tuple[float, Cost, Values]:
    """Let a fresh worker empty the queue.

    Returns the seconds from the first handler call to the last job finished, the cost between the same moments, and
    the worker's summary. Raises ContenderFailed when a job is lost or runs twice.
    """
    first = worker.hear("first")
    start: Reading = stage.meter.read([worker.pid])
    last = worker.hear("last")
    stage.wait_until_finished()
    finished = time.monotonic_ns()
    spent = cost(start, stage.meter.read([worker.pid]))
    summary = worker.stop()
    if summary["handled"] != jobs:
        raise ContenderFailed(f"{summary['handled']} handler calls for {jobs} jobs")
    summary["settled_ms"] = (finished - last["at"]) / 1e6
    return (finished - first["at"]) / 1e9, spent, summary


def _quiet(spent: Cost) -> Values:
    """How much the machine was disturbed, in cores."""
    return {"others": spent.others / spent.seconds, "steal": spent.steal / spent.seconds, "clean": spent.clean}
