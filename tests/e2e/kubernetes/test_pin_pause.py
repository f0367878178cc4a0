"""A person takes over: `kubectl scale` pins a pool, a pause holds it; both are told, and both end."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.watching import steps, watched_size
from tests.support.patience import throughout, until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(400)]

SCALING = {"maxReplicas": 4, "backlogPerReplica": 1}
SECONDS = 45
LONGER = 120
PAUSE = 45
"""Seconds that a pause with an end lasts: all that is looked at before its end takes a tenth of that, or a stall."""


def columns(pool: Pool) -> dict[str, str]:
    """What `kubectl get wp` shows, by heading."""
    head, row = pool.cluster.kubectl("get", "wp", pool.name, pool.place).splitlines()
    return dict(zip(head.split(), row.split(), strict=False))


def active(pool: Pool) -> tuple[str, str]:
    """Status and reason of ScalingActive."""
    condition = pool.condition("ScalingActive")
    return condition["status"], condition["reason"]


def ready(pool: Pool) -> int:
    return int(pool.status()["readyReplicas"])


def soon(seconds: int) -> str:
    """A time, as manifests write it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_kubectl_scale_pins_until_it_is_taken_back(new_pool: NewPool) -> None:
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling=SCALING)
    with watched_size(pool) as sizes:
        pool.cluster.kubectl("scale", f"wp/{pool.name}", "--replicas=3", pool.place)
        until(lambda: ready(pool) == 3, LONGER, pool.story)
        assert active(pool) == ("False", "Pinned")
        shown = columns(pool)
        assert (shown["READY"], shown["REPLICAS"], shown["DESIRED"], shown["BACKLOG"]) == ("True", "3", "3", "0")
        pool.enqueue(200, seconds=0.25)
        pool.wait_settled(200, LONGER)
        assert steps(sizes) == [0, 3]
        pool.patch({"replicas": None})
        until(lambda: active(pool) == ("True", "BacklogKnown"), SECONDS, pool.story)
        pool.wait_asleep(LONGER)
    assert steps(sizes)[-1] == 0
    assert_each_ran_once(pool.runs(), 200)
    assert [reason for reason, _ in pool.events() if "inned" in reason] == ["Pinned", "Unpinned"]


def test_hold_ends_by_itself_at_its_time(new_pool: NewPool) -> None:
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling=SCALING)
    with watched_size(pool) as sizes:
        end = soon(PAUSE)
        pool.patch({"scaling": {"pause": {"mode": "Hold", "until": end}}})
        until(lambda: active(pool) == ("False", "Paused"), SECONDS, pool.story)
        assert end[11:-1] in pool.condition("ScalingActive")["message"]
        pool.enqueue(100, seconds=0.25)
        until(lambda: columns(pool)["BACKLOG"] == "100", SECONDS, pool.story)
        assert steps(sizes) == [0]
        until(lambda: steps(sizes) == [0, 4], LONGER, pool.story)
        assert soon(0) >= end
        pool.wait_settled(100, LONGER)
    assert active(pool) == ("True", "BacklogKnown")
    assert_each_ran_once(pool.runs(), 100)
    assert [reason for reason, _ in pool.events() if reason in {"Paused", "Resumed"}] == ["Paused", "Resumed"]


def test_without_scale_in_replicas_only_come(new_pool: NewPool) -> None:
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={**SCALING, "pause": {"mode": "NoScaleIn"}})
    with watched_size(pool) as sizes:
        pool.enqueue(100, seconds=0.25)
        pool.wait_settled(100, LONGER)
        until(lambda: columns(pool)["BACKLOG"] == "0", SECONDS, pool.story)
        throughout(lambda: steps(sizes) == [0, 4], 6, "no replica goes, long after the stabilization of 2 s")
        assert active(pool) == ("False", "Paused")
        pool.patch({"scaling": {"pause": {"mode": "NoScaleIn", "until": soon(-1)}}})
        pool.wait_asleep(LONGER)
    assert_each_ran_once(pool.runs(), 100)
