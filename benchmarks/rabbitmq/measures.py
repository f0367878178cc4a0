"""The measurements, each on a stage of its own; every function returns the values of one record."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.meter import Cost, cost
from benchmarks.model import ContenderFailed
from benchmarks.program import Program
from benchmarks.rabbitmq import flood
from benchmarks.rabbitmq.sessions import FIRST, key
from benchmarks.rabbitmq.stage import Stage

Values = dict[str, Any]

DROPPED = 10
"""First samples of the pickup times that are left out."""
KILLED_AT = 0.4
"""Share of the messages that are done when the worker is killed."""
QUIET = 1.0
"""Seconds a worker is left alone after the last message of a killed run: what comes twice comes by then."""


def throughput(stage: Stage, messages: int, rate: float) -> Values:
    """Messages, queued first, then worked off; after that the rest of the stage's, sent at `rate` a second."""
    stage.fill(messages)
    memory = _Memory()
    with stage.worker() as worker:
        spent, counted = _work_off(stage, worker, messages, memory)
        sent = flood.paced(stage.url, stage.template, range(FIRST + messages, FIRST + stage.messages), rate)
        stage.expect(stage.messages, worker)
        left = stage.left_after(worker)
    ended = _ended(stage)
    wall = (max(ended[:messages]) - min(ended[:messages])) / 1e9
    delays = [(end - begin) / 1e6 for begin, end in zip(sent, ended[messages:], strict=True)][DROPPED:]
    return {
        "messages": messages,
        "per_second": (messages - 1) / wall,
        "worker_cpu": spent.programs / counted,
        "server_cpu": (spent.server or 0.0) / counted,
        "rss_mib": memory.most / 2**20,
        "rate": rate,
        "p50": statistics.median(delays),
        "p99": statistics.quantiles(delays, n=100, method="inclusive")[98],
        "worst": max(delays),
        "left": left,
        "twice": _repeated(stage),
        **_quiet(spent),
    }


def killed(stage: Stage, messages: int) -> Values:
    """A worker killed by SIGKILL in the middle and started again: what is lost, what comes twice, what stays behind."""
    stage.fill(messages)
    start = stage.meter.read([])
    with stage.worker() as worker:
        stage.expect(round(messages * KILLED_AT), worker)
        worker.kill()
    before = stage.done()
    with stage.worker() as worker:
        complete = stage.wait_for(messages, worker)
        time.sleep(QUIET)
        left = stage.left_after(worker)
    lost = 0 if complete else messages - stage.done()
    spent = cost(start, stage.meter.read([]))
    damaged = _damaged(stage) if stage.job == "archive" else 0
    return {
        "mode": stage.job,
        "messages": messages,
        "done_before": before,
        "lost": lost + damaged,
        "twice": _repeated(stage),
        "left": left,
        **_quiet(spent, judged=False),
    }


def profile(stage: Stage, messages: int) -> Values:
    """No-op messages under the sampling profiler."""
    stage.fill(messages)
    place = stage.room / "profile.json"
    with stage.worker(profile=str(place)) as worker:
        spent, counted = _work_off(stage, worker, messages, _Memory())
        stage.left_after(worker)
    return {"messages": messages, "worker_cpu": spent.programs / counted, **_read(place), **_quiet(spent)}


class _Memory:
    """The most resident memory of a program and its children that was seen; bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._next = 0.0

    def look(self, worker: Program) -> None:
        """Look, at most every 0.2 s."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.2
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        self.most = max(self.most, sum(process.memory_info().rss for process in family))


def _work_off(stage: Stage, worker: Program, messages: int, memory: _Memory) -> tuple[Cost, int]:
    """Let a fresh worker empty the queue; the cost of all but the first messages, and how many these were."""
    stage.expect(1, worker)
    memory.look(worker)
    done, start = stage.done(), stage.meter.read([worker.pid])
    stage.expect(messages, worker, lambda: memory.look(worker))
    spent = cost(start, stage.meter.read([worker.pid]))
    if messages - done < messages / 2:
        raise ContenderFailed(f"{done} of {messages} messages done at the first look: too few to measure")
    return spent, messages - done


def _ended(stage: Stage) -> Sequence[int]:
    """When each message was handled (ns of CLOCK_MONOTONIC), or stored."""
    if stage.job != "archive":
        return list(stage.board.starts)
    # Both clocks tick alike; the file's is the wall clock.
    offset = time.time_ns() - time.monotonic_ns()
    times = [0] * stage.messages
    for path in stage.servers.objects(stage.bucket).iterdir():
        times[_number(path)] = path.stat().st_mtime_ns - offset
    return times


def _repeated(stage: Stage) -> int:
    """How many messages were handled or stored again."""
    if stage.job == "archive":
        return stage.servers.puts(stage.bucket) - stage.done()
    return stage.board.repeated()


def _damaged(stage: Stage) -> int:
    """Objects that are not what was sent."""
    place = stage.servers.objects(stage.bucket)
    return sum(_number(path) != _content(path) - FIRST for path in place.iterdir())


def _number(path: Path) -> int:
    return int(path.stem[-len(str(FIRST)) :]) - FIRST


def _content(path: Path) -> int:
    """The number inside a stored session; 0 when it is not stored under its own key."""
    message = json.loads(path.read_bytes())
    return int(message["number"]) if key(message).endswith(path.name) else 0


def _read(place: Path) -> Values:
    values: Values = json.loads(place.read_text(encoding="utf-8"))
    return values


def _quiet(spent: Cost, *, judged: bool = True) -> Values:
    """How much the machine was disturbed, in cores."""
    clean = spent.clean or not judged
    return {"others": spent.others / spent.seconds, "steal": spent.steal / spent.seconds, "clean": clean}
