"""The way back to the worker that was there before, as docs/archive.md has it: it misses no message."""

import asyncio
import json
import shlex
import signal
from collections.abc import Iterator

import pytest

from tests.integration.archive.conftest import Start
from tests.integration.archive.queues import RabbitmqQueue
from tests.support.patience import until
from tests.support.rabbitmq import Broker, Vhost, throw_away_broker
from tests.support.rabbitqueues import depths, taken
from tests.support.s3 import S3Server
from workerpool_contract import rabbitmq as names
from workerpool_contract.archive import DEFAULT_QUEUE

pytestmark = [pytest.mark.crash, pytest.mark.rabbitmq]

MESSAGES = [{"user_id": "u", "session_uuid": number} for number in range(200)]
WITHIN = 90.0
MOVE = """\
rabbitmqctl set_parameter shovel back '{"src-uri": "amqp://", "src-queue": "raw_sessions.high",
  "src-delete-after": "queue-length", "dest-uri": "amqp://", "dest-queue": "raw_sessions"}'"""
"""What the page says: the command of the broker that moves the messages."""


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A server that can move messages from one queue to another."""
    with throw_away_broker(started=False) as broker:
        plugins = broker.home / "enabled_plugins"
        plugins.write_text(plugins.read_text().replace("[", "[rabbitmq_shovel,"))
        broker.start()
        yield broker


def test_what_was_handed_back_is_moved_to_where_the_old_worker_reads(
    broker: Broker, own_server: S3Server, start: Start
) -> None:
    vhost = broker.create_vhost("/")
    queue = RabbitmqQueue(vhost)
    queue.send(MESSAGES)
    own_server.stop()
    runner = start(queue.url, **own_server.environment(own_server.create_bucket())).ready()
    until(lambda: runner.probe("/health")[0] == 503, WITHIN, "the worker knows that nothing can be stored")
    runner.send(signal.SIGTERM)
    assert runner.wait(WITHIN) == 0
    high = names.lanes(DEFAULT_QUEUE).high
    assert depth(vhost, high) > 0, "the old worker would miss these"

    broker.ctl(*shlex.split(MOVE)[1:])

    until(lambda: depth(vhost, DEFAULT_QUEUE) == len(MESSAGES), WITHIN, "all of them are where they came from")
    assert depth(vhost, high) == 0
    until(lambda: not vhost.api("GET", "parameters/shovel/{}"), WITHIN, "the shovel is gone")
    read = asyncio.run(taken(vhost.url, DEFAULT_QUEUE, len(MESSAGES)))
    assert sorted(it.body for it in read) == sorted(json.dumps(it).encode() for it in MESSAGES)


def depth(vhost: Vhost, queue: str) -> int:
    """Messages that nobody holds."""
    return asyncio.run(depths(vhost.url, queue))[queue] or 0
