"""Pools without change cost the API server nothing: fifty of them, asleep, below their activation or paused."""

import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.e2e.kubernetes.containers import first_process, restarts
from tests.e2e.kubernetes.pool import make_table, pool_manifest, surroundings
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.rights import writes
from tests.support.patience import until
from tests.support.tables import Tables

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(900)]

logger = logging.getLogger(__name__)

MINUTES = 5
ASLEEP: Mapping[str, Any] = {"minReplicas": 0}
BELOW: Mapping[str, Any] = {"minReplicas": 0, "activationBacklog": 5}
HELD: Mapping[str, Any] = {"minReplicas": 0, "pause": {"mode": "Hold"}}
POOLS = [ASLEEP] * 30 + [BELOW] * 10 + [HELD] * 10
MOST_MEMORY = 192 << 20
MOST_CPU = 0.25
"""Of one core, for fifty pools that are read once a second; what is usual is in the docs."""


@dataclass(frozen=True)
class Usage:
    """``cpu``: seconds of processor time so far. ``memory``: bytes in use."""

    cpu: float
    memory: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """What a process of this machine uses."""
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))


def conditions(operator: Operator, namespace: str) -> list[tuple[str, str]]:
    """Ready of every pool, and why it scales or not."""
    pools = operator.cluster.json("get", "workerpools", f"--namespace={namespace}")["items"]
    found = [{it["type"]: it for it in pool.get("status", {}).get("conditions", [])} for pool in pools]
    return sorted((it["Ready"]["status"], it["ScalingActive"]["reason"]) for it in found if it)


def figure(operator: Operator, name: str) -> float:
    """The sum of a metric of the operator over its labels."""
    address = operator.pod()["status"]["podIP"]
    with urlopen(f"http://{address}:8080/metrics", timeout=10) as page:
        rows = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page.read().decode(), re.MULTILINE)
    return sum(map(float, rows))


def test_fifty_pools_without_change_are_never_written(
    operator: Operator, namespace: str, cluster_database: str
) -> None:
    tables = Tables(cluster_database)
    make_table(tables)
    pools = [
        pool_manifest(f"pool-{n}", f"queue-{n}", operator.images.example.ref, {}, dict(scaling))
        for n, scaling in enumerate(POOLS)
    ]
    for n, scaling in enumerate(POOLS):
        if scaling is not ASLEEP:
            tables.enqueue(f"queue-{n}", [{"n": n}] * 3)
    operator.cluster.apply([*surroundings(cluster_database), *pools], namespace)
    wanted = sorted(("True", "Paused" if scaling is HELD else "BacklogKnown") for scaling in POOLS)
    until(lambda: conditions(operator, namespace) == wanted, 120, lambda: conditions(operator, namespace))

    pod = operator.pod()
    process = first_process(pod, "operator")
    looks = figure(operator, "workerpool_reconcile_seconds_count")
    until(lambda: figure(operator, "workerpool_reconcile_seconds_count") > looks + 2 * len(POOLS), 60, operator.logs)
    before, usage = len(operator.requests()), Usage.of(process)
    looks = figure(operator, "workerpool_reconcile_seconds_count")
    end = time.monotonic() + 60 * MINUTES
    until(lambda: time.monotonic() > end, 61 * MINUTES, "time passes")
    spent = Usage.of(process)

    requests = operator.requests()[before:]
    assert writes(requests) == []
    assert "get" in {request["verb"] for request in requests}, "the operator was not at work"
    assert figure(operator, "workerpool_reconcile_seconds_count") > looks + len(POOLS)
    assert conditions(operator, namespace) == wanted
    assert restarts(operator.pod()) == restarts(pod)
    cpu = (spent.cpu - usage.cpu) / (60 * MINUTES)
    logger.info("%.1f %% of a core, %d MiB, %d requests", 100 * cpu, spent.memory >> 20, len(requests))
    assert cpu < MOST_CPU
    assert spent.memory < MOST_MEMORY
