"""The measurements. All times come from the clock of this one machine: ours, the API server's and the database's."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.wakeup.stage import NOWHERE, Stage
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.watching import DEPLOYMENT, steps, watched, watched_size
from tests.support.patience import until

POOLS = 10
"""Asleep side by side; while one returns to zero the others are woken."""
REPLICAS = 5
JOBS_PER_REPLICA = 10
GAPS = (0.5, 1.5)
"""Seconds between two wake-ups: no rhythm that could fall in with that of the operator."""
SCALING = {"pollIntervalSeconds": 5, "backlogPerReplica": JOBS_PER_REPLICA, "scaleDown": {"stabilizationSeconds": 0}}
QUICK = {**SCALING, "pollIntervalSeconds": 1}


@dataclasses.dataclass(frozen=True)
class Wakeup:
    """Milliseconds from just before the commit of the first jobs until the API server had answered the patch."""

    patched: float


@dataclasses.dataclass(frozen=True)
class Start(Wakeup):
    """And until a watch told of the first Ready pod, and until the first job was done."""

    ready: float
    done: float


def wakeups(stage: Stage, count: int) -> list[Wakeup]:
    """Wakes pools at zero, one after the other, whose pods fit on no node. Raises AssertionError."""
    worker = {"podTemplate": NOWHERE}
    pools = [stage.pool(f"wake-{number}", f"wake-{number}", worker, SCALING) for number in range(POOLS)]
    with ExitStack() as watches:
        sizes = [(pool, watches.enter_context(watched_size(pool))) for pool in pools]
        begun = [_wake(*sizes[number % POOLS]) for number in range(count)]
    taken = {step for _, seen in sizes for step in pairwise(steps(seen))}
    assert {(old, new) for old, new in taken if new > old} == {(0, REPLICAS)}, f"not in one step: {taken}"
    patches = dict(_patches(stage))
    return [Wakeup(_milliseconds(_first(patches[pool.name], since) - since)) for pool, since in begun]


def _wake(pool: Pool, sizes: list[int]) -> tuple[Pool, float]:
    """Once it is at zero; the Unix time of the commit."""
    until(lambda: sizes[-1] == 0, 60, pool.story)
    pause(random.uniform(*GAPS))
    since = enqueue(pool)
    until(lambda: sizes[-1] != 0, 60, pool.story)
    pool.tables.query("delete from workerpool.job")
    return pool, since


def starts(stage: Stage, count: int) -> list[Start]:
    """Wakes a pool whose pods run, as long as the last ones are gone."""
    pool = stage.pool("files", "files", {}, QUICK)
    return [_start(stage, pool) for _ in range(count)]


def _start(stage: Stage, pool: Pool) -> Start:
    pool.wait_asleep(60)
    stage.tables.query("truncate run")
    with watched(pool, DEPLOYMENT, _ready_at) as ready:
        pause(random.uniform(*GAPS))
        since = enqueue(pool)
        until(lambda: ready[-1], 120, pool.story)
    first = next(at for at in ready if at and at > since)
    pool.wait_settled(REPLICAS * JOBS_PER_REPLICA, 120)
    done = min(run.ended.timestamp() for run in pool.runs() if run.ended)
    patched = _first(dict(_patches(stage))[pool.name], since)
    return Start(*(_milliseconds(at - since) for at in (patched, first, done)))


def _ready_at(deployment: dict[str, Any]) -> float | None:
    """Now, when a watch tells of a Ready pod."""
    return time.time() if deployment["status"].get("readyReplicas") else None


def enqueue(pool: Pool) -> float:
    """Jobs for `REPLICAS` replicas in one transaction; Unix time just before its commit."""
    with psycopg.connect(pool.tables.url) as connection:
        payloads = [json.dumps({"n": n}) for n in range(REPLICAS * JOBS_PER_REPLICA)]
        statement = "select workerpool.enqueue_many(%s, %s::text[]::json[], p_notify => true)"
        connection.execute(statement, (pool.queue, payloads))
        since = time.time()
        connection.commit()
    return since


def pause(seconds: float) -> None:
    """Lets nothing happen for a while."""
    time.sleep(seconds)


def _patches(stage: Stage) -> Iterator[tuple[str, list[float]]]:
    """Unix times at which the API server had answered the operator's writes of a Deployment, by its name."""
    found: dict[str, list[float]] = {}
    for event in stage.operator.requests():
        about: dict[str, Any] = event.get("objectRef", {})
        if (about.get("resource"), about.get("namespace"), event["verb"]) == ("deployments", stage.namespace, "patch"):
            at = datetime.fromisoformat(event["stageTimestamp"]).timestamp()
            found.setdefault(about["name"], []).append(at)
    yield from found.items()


def _first(times: list[float], since: float) -> float:
    return min(at for at in times if at >= since)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
