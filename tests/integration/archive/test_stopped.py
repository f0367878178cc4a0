"""A worker whose storage never answered is stopped: it ends at once, and every message waits as if nobody had come."""

import signal

import pytest

from tests.integration.archive.conftest import Start
from tests.integration.archive.queues import Queue
from tests.support.patience import until
from tests.support.s3 import S3Server

pytestmark = pytest.mark.crash

MESSAGES = [{"user_id": "u", "session_uuid": number} for number in range(200)]
SLOTS = 16
"""Messages that an archive holds at a time when nobody says."""
WITHIN = 90.0
DRAIN = 90.0
AT_ONCE = 60.0
"""Seconds that a slow machine may take to stop; by far less than jobs and the drain may."""


@pytest.mark.parametrize(("fault", "number"), [("away", signal.SIGINT), ("wrong keys", signal.SIGTERM)])
def test_a_worker_ends_though_its_storage_never_answered(
    queue: Queue, own_server: S3Server, start: Start, fault: str, number: signal.Signals
) -> None:
    environ = own_server.environment(own_server.create_bucket())
    if fault == "away":
        own_server.stop()
    else:
        environ["WORKERPOOL_S3_SECRET_KEY"] = "another"
    queue.send(MESSAGES)
    limits = {"WORKERPOOL_JOB_TIMEOUT_SECONDS": "85", "WORKERPOOL_DRAIN_TIMEOUT_SECONDS": f"{DRAIN:g}"}
    runner = start(queue.url, **environ, **limits).ready()
    until(lambda: runner.probe("/health")[1]["worker"]["busy"] == SLOTS, WITHIN, "the worker holds messages")
    until(lambda: runner.probe("/health")[0] == 503, WITHIN, "the worker knows that nothing can be stored")

    runner.send(number)

    assert runner.wait(AT_ONCE) == 0
    until(lambda: len(queue.waiting()) >= len(MESSAGES), WITHIN, "all of them are back")
    assert sorted(queue.waiting(), key=str) == sorted(MESSAGES, key=str), "each of them once"
    assert queue.costs() == {(0, 0)}
    assert queue.dead() == 0
