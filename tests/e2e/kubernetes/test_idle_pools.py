"""Pools without change cost the API server nothing: fifty of them, asleep, below their activation or paused."""

import json
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
from tests.e2e.kubernetes.pool import Pool, make_table, pool_manifest, surroundings
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.rights import writes
from tests.e2e.kubernetes.watching import watched
from tests.support.patience import until
from tests.support.tables import Tables

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(1200)]

logger = logging.getLogger(__name__)

SECONDS = 120
WINDOWS = 3
"""How often it is measured anew because a machine that stood still let a look at a queue run out of time."""
ASLEEP: Mapping[str, Any] = {"minReplicas": 0}
BELOW: Mapping[str, Any] = {"minReplicas": 0, "activationBacklog": 5}
HELD: Mapping[str, Any] = {"minReplicas": 0, "pause": {"mode": "Hold"}}
LOOKS = "workerpool_reconcile_seconds_count"
EVERY_POOL = "/apis/workerpool.dev/v1/namespaces/{namespace}/workerpools?"
POOLS = [ASLEEP] * 30 + [BELOW] * 10 + [HELD] * 10
MOST_MEMORY = 192 << 20
MOST_CPU = 0.6
"""Of one core, for fifty pools that are read once a second: several times what is usual, for cores differ."""


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


@dataclass(frozen=True)
class Window:
    """What the operator did for a while. ``looks``: decisions about a pool. ``cpu``: in cores. ``memory``: bytes.

    ``unknown``: conditions that say of a pool that its backlog was unknown.
    """

    requests: list[dict[str, Any]]
    looks: float
    cpu: float
    memory: int
    unknown: list[str]


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
    pod = operator.pod()
    window = quiet_window(operator, Pool(operator.cluster, namespace, "", "", tables))

    assert window.unknown == [], "no window in which every look at a queue was answered"
    assert writes(window.requests) == []
    assert "get" in {request["verb"] for request in window.requests}, "the operator was not at work"
    assert window.looks > len(POOLS)
    assert restarts(operator.pod()) == restarts(pod)
    assert window.cpu < MOST_CPU
    assert window.memory < MOST_MEMORY


def quiet_window(operator: Operator, pools: Pool, left: int = WINDOWS) -> Window:
    """The first in which no backlog was unknown, which is told in the status and so is a write; or else the last."""
    settle(operator, pools.namespace)
    window = measured(operator, pools)
    return window if left == 1 or not window.unknown else quiet_window(operator, pools, left - 1)


def settle(operator: Operator, namespace: str) -> None:
    """Returns when every pool says what it is to say, and was looked at since."""
    wanted = sorted(("True", "Paused" if scaling is HELD else "BacklogKnown") for scaling in POOLS)
    until(lambda: conditions(operator, namespace) == wanted, 120, lambda: conditions(operator, namespace))
    looks = figure(operator, LOOKS)
    until(lambda: figure(operator, LOOKS) > looks + 2 * len(POOLS), 120, operator.logs)


def measured(operator: Operator, pools: Pool) -> Window:
    """What happens from now on."""
    process = first_process(operator.pod(), "operator")
    with watched(pools, EVERY_POOL, lambda body: json.dumps(body.get("status", {}).get("conditions"))) as told:
        before, usage, looks = len(operator.requests()), Usage.of(process), figure(operator, LOOKS)
        began = time.monotonic()
        until(lambda: time.monotonic() > began + SECONDS, 2 * SECONDS, "time passes")
        spent, lasted = Usage.of(process), time.monotonic() - began
        requests = operator.requests()[before:]
        looks = figure(operator, LOOKS) - looks
        unknown = [words for words in told if "BacklogUnknown" in words]
    cpu = (spent.cpu - usage.cpu) / lasted
    logger.info("%.1f %% of a core, %d MiB, %d requests", 100 * cpu, spent.memory >> 20, len(requests))
    return Window(requests, looks, cpu, spent.memory, unknown)
