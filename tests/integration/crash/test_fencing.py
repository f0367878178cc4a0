"""A runner that can't renew its leases gives its jobs up in time, so that a job never runs in two places."""

import time

import pytest

from tests.integration.crash.conftest import Scene
from tests.support.patience import until
from tests.support.proxy import proxy_to

pytestmark = pytest.mark.crash

LEASE = 20.0
"""Seconds; jobs are given up a tenth of it before its end, which is what a slow machine has to be within."""
WITHIN = LEASE + 45
"""Seconds that anything may take, the end of a lease included; reached only when something is broken."""


def test_a_runner_cut_off_from_the_server_stops_its_jobs_before_another_may_start_them(scene: Scene) -> None:
    scene.tables.enqueue("gated", ({"n": n} for n in range(5)))
    with proxy_to(scene.tables.url) as network:
        first = scene.start("gated", lease=LEASE, url=network.url(scene.tables.url)).ready()
        until(lambda: len(scene.witness.keys("start")) == 5, WITHIN, "the first runner starts the jobs")
        second = scene.start("gated", lease=LEASE).ready()

        network.stall()

        until(lambda: len(scene.witness.events("start")) == 10, WITHIN, "the second runner starts the jobs")
        cuts = {event.key: event.at for event in scene.witness.events("cut") if event.pid == first.pid}
        starts = {event.key: event.at for event in scene.witness.events("start") if event.pid == second.pid}
        assert cuts.keys() == starts.keys()
        assert max(cuts.values()) < min(starts.values()), "for a while a job ran in two places"
        until(lambda: first.probe("/ready")[0] == 503, WITHIN, "the first runner is not ready")
        assert first.probe("/live")[0] == 200

        network.heal()

        first.ready(WITHIN)
        second.kill()
        scene.open()
        until(lambda: scene.tables.unfinished() == 0, WITHIN, lambda: f"the first runner works: {scene.tables.jobs()}")
        assert {event.pid for event in scene.witness.events("finish")} == {first.pid}


def test_jobs_are_stopped_when_the_server_is_gone_for_longer_than_the_lease(scene: Scene) -> None:
    scene.tables.enqueue("gated", [{"n": 1}])
    runner = scene.start("gated", lease=LEASE).ready()
    until(lambda: scene.witness.keys("start"), WITHIN, "the job starts")

    down = time.monotonic()
    scene.server.stop("fast")
    (cut,) = until(lambda: scene.witness.events("cut"), WITHIN, "the job is stopped")
    assert cut.at - down < LEASE
    until(lambda: runner.probe("/ready")[0] == 503, WITHIN, "the runner is not ready")
    assert runner.probe("/live")[0] == 200
    scene.server.start()

    runner.ready(WITHIN)
    scene.open()
    until(lambda: scene.tables.unfinished() == 0, WITHIN, "the job runs again")
    assert [(row["crashes"], row["attempts"]) for row in scene.tables.history()] == [(0, 0)], "an outage is no crash"
