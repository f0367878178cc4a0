"""What `kubectl get workerpool` tells while the demo runs: one line for each change, and a timeline for the plots."""

import time
from dataclasses import dataclass
from typing import Any

from tests.cluster.api import Cluster
from workerpool_operator.up.timeline import Point, Timeline

HEADER = f"{'TIME':>6}  {'READY':5}  {'REPLICAS':>8}  {'DESIRED':>7}  {'BACKLOG':>7}  REASON"
LOOK_EVERY = 0.5
"""Seconds between two looks at the pool."""
LONGEST = 900.0
"""Seconds after which the demo gives up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One look at the pool's status. ``work``: jobs that are ready or in flight."""

    ready: str
    replicas: int
    desired: int
    backlog: int
    work: int
    reason: str

    def line(self, at: float) -> str:
        """The look as a line, ``at`` seconds after the start."""
        numbers = f"{self.replicas:>8}  {self.desired:>7}  {self.backlog:>7}"
        return f"{at:>4.0f} s  {self.ready:5}  {numbers}  {self.reason}"


def row_of(pool: dict[str, Any]) -> Row:
    """The columns of a pool; what its status does not say yet counts as nothing."""
    status = pool.get("status", {})
    truths = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    backlog = status.get("backlog", {})
    ready = backlog.get("ready", 0)
    return Row(
        ready=truths.get("Ready", ""),
        replicas=status.get("replicas", 0),
        desired=status.get("desiredReplicas", 0),
        backlog=ready,
        work=ready + backlog.get("inFlight", 0),
        reason=status.get("reason", ""),
    )


def watch(cluster: Cluster, namespace: str, name: str) -> Timeline:
    """Prints what changes until the pool has grown, its queue is empty and it has shrunk to nothing again.

    Raises TimeoutError after 15 minutes.
    """
    timeline = Timeline()
    shown: Row | None = None
    begin = time.monotonic()
    print(HEADER)
    while not (timeline.peak and shown and shown.replicas == shown.desired == shown.work == 0):
        at = time.monotonic() - begin
        if at > LONGEST:
            raise TimeoutError(f"pool {name} is not back at zero after {at:.0f} s: {shown}")
        row = row_of(cluster.json("get", "workerpool", name, f"--namespace={namespace}"))
        timeline.points.append(Point(at, row.work, row.replicas))
        if row != shown:
            print(row.line(at), flush=True)
        shown = row
        time.sleep(LOOK_EVERY)
    return timeline
