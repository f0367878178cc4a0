"""The verdicts behind the probes: what makes a runner live, ready and healthy, and what never does."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from workerpool.exposition import QueueCounts
from workerpool.metrics import Metrics, Status
from workerpool.probe_server import wants_json
from workerpool.probes import Check, Limits, Pulse, RunnerProbes, RunnerStatus, iso, judge

IDLE = RunnerStatus(
    is_running=True,
    queues=("model-certification",),
    concurrency=3,
    busy=0,
    buffered=0,
    draining=False,
    connected=True,
    consuming=True,
    has_capacity=True,
    pid=1,
    boot="b-1",
)
LIMITS = Limits(loop_lag=30, deaf=60)


@pytest.mark.parametrize(
    ("status", "lag", "still", "expected"),
    [
        pytest.param(IDLE, 0, 0, (True, True, "healthy"), id="idle"),
        pytest.param(replace(IDLE, busy=3, has_capacity=False), 0, 900, (True, True, "healthy"), id="busy"),
        pytest.param(IDLE, 29, 0, (True, True, "healthy"), id="late"),
        pytest.param(IDLE, 31, 0, (False, True, "unhealthy"), id="stuck"),
        pytest.param(IDLE, 0, 61, (False, False, "unhealthy"), id="deaf"),
        pytest.param(replace(IDLE, deaf=True), 0, 0, (False, False, "unhealthy"), id="deaf source"),
        pytest.param(replace(IDLE, connected=False), 0, 900, (True, False, "unhealthy"), id="server down"),
        pytest.param(
            replace(IDLE, connected=False, busy=1), 0, 900, (True, True, "unhealthy"), id="server down, a job running"
        ),
        pytest.param(replace(IDLE, draining=True, consuming=False), 0, 900, (True, False, "draining"), id="draining"),
        pytest.param(replace(IDLE, consuming=False), 0, 900, (True, False, "unhealthy"), id="not consuming"),
        pytest.param(replace(IDLE, is_running=False), 0, 900, (True, False, "unhealthy"), id="not started"),
    ],
)
def test_verdict(status: RunnerStatus, lag: float, still: float, expected: tuple[bool, bool, str]) -> None:
    verdict = judge(status, lag, still, LIMITS)
    assert (verdict.live, verdict.ready, verdict.status) == expected


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def probes(status: RunnerStatus, clock: Clock) -> RunnerProbes:
    metrics = Metrics()
    metrics.add_worker("certify", "model-certification")
    metrics.observe("certify", Status.COMPLETED, 0.25)
    metrics.observe("certify", Status.DEAD, 0.25)
    moment = datetime(2024, 1, 31, 23, 0, 0, 62_000, tzinfo=UTC)
    return RunnerProbes(status=lambda: status, pulse=Pulse(clock), metrics=metrics, now=lambda: moment, limits=LIMITS)


def test_health_has_the_shape_that_the_local_platform_reads() -> None:
    answer = probes(replace(IDLE, busy=1, oldest_job_seconds=1.2), Clock()).health()
    assert answer.ok
    assert list(answer.body) == ["status", "worker", "checks", "timestamp"]
    assert answer.body == {
        "status": "healthy",
        "worker": {
            "isRunning": True,
            "queueName": "model-certification",
            "queues": ["model-certification"],
            "concurrency": 3,
            "busy": 1,
            "buffered": 0,
            "draining": False,
            "pid": 1,
            "boot": "b-1",
            "oldestJobSeconds": 1.2,
            "completed": 1,
            "failed": 1,
            "serviceSeconds": 0.25,
        },
        "checks": {
            "loop": {"ok": True, "lagSeconds": 0.0},
            "source": {"ok": True, "detail": ""},
            "consuming": {"ok": True},
        },
        "timestamp": "2024-01-31T23:00:00.062Z",
    }


def test_metrics_json_has_the_shape_of_the_certification_worker() -> None:
    plain = probes(IDLE, Clock())
    known = replace(plain, queue_counts=lambda: QueueCounts(5, 2, 150, 3, 0))
    assert known.metrics_json()["queue"] == {"waiting": 5, "active": 2, "completed": 150, "failed": 3, "delayed": 0}
    assert plain.metrics_json()["queue"]["waiting"] is None
    assert known.metrics_json()["worker"]["queueName"] == "model-certification"


def test_health_says_why_the_source_is_not_connected() -> None:
    answer = probes(replace(IDLE, connected=False, detail="connection refused"), Clock()).health()
    assert not answer.ok
    assert answer.body["checks"]["source"] == {"ok": False, "detail": "connection refused"}


def test_a_loop_that_stops_beating_is_stuck_after_the_limit() -> None:
    clock = Clock()
    runner = probes(IDLE, clock)
    clock.now += 30
    assert runner.live().ok
    clock.now += 1
    assert not runner.live().ok
    assert runner.live().body["status"] == "stuck"


def test_time_without_a_reason_to_turn_is_not_held_against_the_dispatcher() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    clock.now += 500
    pulse.beat(should_turn=False)
    assert pulse.still == 0
    clock.now += 10
    pulse.beat(should_turn=True)
    assert pulse.still == 10
    pulse.turned()
    assert pulse.still == 0


async def test_the_pulse_beats_in_the_loop_and_reports_how_late_it_was() -> None:
    clock, lags, twice = Clock(), list[float](), asyncio.Event()

    def observe(lag: float) -> None:
        lags.append(lag)
        if len(lags) == 2:
            twice.set()

    pulse = Pulse(clock, observe)

    def should_turn() -> bool:
        clock.now += 3
        return True

    task = asyncio.create_task(pulse.run(should_turn))
    await asyncio.wait_for(twice.wait(), 10)
    task.cancel()
    assert lags[0] == 2.5


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/json;q=0.9, text/plain;q=0.5", True),
        ("*/*", False),
        ("", False),
        ("text/html,*/*;q=0.8", False),
        ("text/plain, application/json;q=0.5", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        ("application/json;q=oops", False),
    ],
)
def test_content_negotiation(accept: str, json: bool) -> None:
    assert wants_json(accept) is json


def test_moments_are_written_with_milliseconds() -> None:
    assert iso(datetime(2024, 1, 31, 23, tzinfo=UTC)) == "2024-01-31T23:00:00.000Z"


def test_a_further_check_makes_it_unhealthy_but_neither_unready_nor_stuck() -> None:
    more = {"storage": Check(ok=False, detail={"detail": "no answer"})}
    checked = replace(probes(IDLE, Clock()), more_checks=lambda: more, more_metrics=lambda: "archive 1\n")
    answer = checked.health()
    assert not answer.ok
    assert answer.body["status"] == "unhealthy"
    assert answer.body["checks"]["storage"] == {"ok": False, "detail": "no answer"}
    assert checked.ready().ok
    assert checked.live().ok
    assert checked.metrics_text().endswith("\narchive 1\n")
