"""Kill -9 around an upload: a message is acknowledged only once its object is stored, and then it is there."""

from functools import partial
from pathlib import Path

import pytest

from tests.integration.archive.conftest import Start
from tests.integration.archive.queues import Queue
from tests.support.patience import until
from tests.support.runner_process import RunnerProcess
from tests.support.s3 import S3Server
from workerpool_contract.names import ENV_LEASE

pytestmark = pytest.mark.crash

MESSAGES = [{"user_id": "u", "session_uuid": number, "text": "x" * number} for number in range(40)]
SLOTS = 16
"""Messages that an archive holds at a time when nobody says."""
WITHIN = 90.0


def _right(server: S3Server, bucket: str) -> bool:
    """Whether every message is an object with the bytes that were sent, and nothing else is there."""
    found = server.objects(bucket)
    sizes = {f"sessions/u/{message['session_uuid']}.json": message for message in MESSAGES}
    assert found.keys() <= sizes.keys()
    assert all(body.endswith(f'"text": "{sizes[key]["text"]}"}}'.encode()) for key, body in found.items())
    return found.keys() == sizes.keys()


def _works(queue: Queue, server: S3Server, bucket: str, least: int) -> bool:
    """Whether so many objects are stored, or all of them."""
    return len(server.objects(bucket)) >= least or not queue.unfinished()


def _none_is_lost(queue: Queue, server: S3Server, bucket: str) -> bool:
    return len(server.objects(bucket)) >= len(MESSAGES) - queue.unfinished()


def _environ(server: S3Server, bucket: str) -> dict[str, str]:
    """Settings under which the jobs of a killed runner come again soon."""
    return server.environment(bucket) | {ENV_LEASE: "3"}


def _holding(runner: RunnerProcess, queue: Queue, server: S3Server, bucket: str) -> RunnerProcess:
    """The runner when it holds as many messages as it may and waits for the server, which stands still."""
    runner.ready()
    until(lambda: server.has_bucket(bucket), WITHIN, "the worker makes its bucket")
    server.pause()
    queue.send(MESSAGES)
    until(lambda: runner.probe("/health")[1]["worker"]["busy"] == SLOTS, WITHIN, "the worker holds messages")
    return runner


def test_killed_between_receipt_and_upload(queue: Queue, own_server: S3Server, start: Start) -> None:
    bucket = own_server.create_bucket()
    environ = _environ(own_server, bucket)
    victim = _holding(start(queue.url, **environ), queue, own_server, bucket)

    victim.kill()

    assert own_server.objects(bucket) == {}
    until(lambda: queue.unfinished() == len(MESSAGES), WITHIN, "nothing is acknowledged that is not stored")
    own_server.resume()
    start(queue.url, **environ)
    until(lambda: _right(own_server, bucket), WITHIN, "another worker stores them")
    until(lambda: queue.unfinished() == 0, WITHIN, "and acknowledges them")
    assert queue.dead() == 0


def test_killed_between_upload_and_acknowledgement(queue: Queue, own_server: S3Server, start: Start) -> None:
    bucket = own_server.create_bucket()
    environ = _environ(own_server, bucket)
    victim = _holding(start(queue.url, **environ), queue, own_server, bucket)
    with queue.silent():
        own_server.resume()
        until(lambda: len(own_server.objects(bucket)) >= SLOTS, WITHIN, "the messages that it holds are stored")
        victim.kill()

    until(lambda: queue.unfinished() == len(MESSAGES), WITHIN, "nobody was told that they are stored")
    start(queue.url, **environ)
    until(lambda: queue.unfinished() == 0, WITHIN, "another worker takes them")
    until(lambda: _right(own_server, bucket), WITHIN, "one object per message, however often it was stored")
    assert queue.dead() == 0


def test_killed_again_and_again_while_it_works(queue: Queue, own_server: S3Server, start: Start) -> None:
    bucket = own_server.create_bucket()
    environ = _environ(own_server, bucket) | {"WORKERPOOL_MAX_CRASHES": "100"}
    queue.send(MESSAGES)
    for least in (1, 8, 15):
        victim = start(queue.url, **environ)
        until(partial(_works, queue, own_server, bucket, least), WITHIN, "it works")
        victim.kill()
        until(partial(_none_is_lost, queue, own_server, bucket), WITHIN, "what is not stored is still in the queue")
    start(queue.url, **environ)
    until(lambda: _right(own_server, bucket), WITHIN, "the last one stores the rest")
    until(lambda: queue.unfinished() == 0, WITHIN, "and acknowledges them")
    assert queue.dead() == 0


def test_an_outage_costs_no_message_an_attempt(queue: Queue, own_server: S3Server, start: Start) -> None:
    bucket = own_server.create_bucket()
    runner = start(queue.url, **own_server.environment(bucket)).ready()
    own_server.kill()
    queue.send(MESSAGES)
    until(lambda: runner.probe("/health")[0] == 503, WITHIN, "the health page says so")
    assert own_server.endpoint in runner.probe("/health")[1]["checks"]["storage"]["detail"]
    assert runner.probe("/ready")[0] == 200
    assert runner.probe("/live")[0] == 200

    own_server.start()

    until(lambda: _right(own_server, bucket), WITHIN, "the messages are stored")
    until(lambda: queue.unfinished() == 0, WITHIN, "and acknowledged")
    assert queue.costs() <= {(0, 0)}
    assert queue.dead() == 0
    assert runner.probe("/health")[1]["worker"]["failed"] == 0
    until(lambda: runner.probe("/health")[0] == 200, WITHIN, "the health page says so")


def test_a_drain_during_an_outage_hands_everything_back_at_once(
    queue: Queue, own_server: S3Server, start: Start, tmp_path: Path
) -> None:
    bucket = own_server.create_bucket()
    log = tmp_path / "archive.log"
    environ = own_server.environment(bucket) | {"WORKERPOOL_LOG_FILE": str(log)}
    runner = start(queue.url, **environ).ready()
    own_server.stop()
    queue.send(MESSAGES)
    until(lambda: "takes no objects, so jobs wait and lose no attempt" in log.read_text(), WITHIN, "the worker notices")

    runner.process.terminate()

    assert runner.wait(WITHIN) == 0
    until(lambda: queue.unfinished() == len(MESSAGES), WITHIN, "all of them are back")
    assert queue.costs() == {(0, 0)}
    assert queue.dead() == 0
    assert own_server.secret_key not in log.read_text()
