"""20,000 messages while everything breaks: runners, broker, connections and storage. Not one is lost or altered."""

import asyncio
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aio_pika
import pytest

from tests.integration.archive.conftest import Start
from tests.integration.archive.queues import RabbitmqQueue
from tests.support.patience import until
from tests.support.rabbitmq import Broker, throw_away_broker
from tests.support.rabbitqueues import taken
from tests.support.runner_process import RunnerProcess
from tests.support.s3 import S3Server
from workerpool.sources.rabbitmq.deadletters import HEADER_REASON
from workerpool_contract import rabbitmq as names
from workerpool_contract.archive import DEFAULT_QUEUE

pytestmark = [pytest.mark.crash, pytest.mark.rabbitmq, pytest.mark.timeout(1200)]

COUNT = 20_000
RUNNERS = 2
STORAGE_AWAY = 60.0
"""Seconds."""
WITHIN = 400.0
BAD = (b"no JSON", b'{"user_id": "u"}', b'{"user_id": "..", "session_uuid": "x"}', b'["a list"]', b"\xff\xfe")
"""What no archive can store: dead letters with the reason."""
AT_RISK = 128
"""Uploads of one runner whose acknowledgement may be under way when it loses its broker or its life."""


def message(number: int) -> bytes:
    """The bytes of one message: long, short, and never the same."""
    body = {"user_id": "u", "session_uuid": f"s{number}", "events": [number] * (number % 40), "note": "é\u2028"}
    return json.dumps(body, ensure_ascii=number % 2 == 0).encode()


async def publish(url: str) -> None:
    """Puts everything on the queue, confirmed."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        bodies = [*(message(number) for number in range(COUNT)), *BAD]
        for start in range(0, len(bodies), 500):
            await asyncio.gather(
                *(
                    channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), DEFAULT_QUEUE)
                    for body in bodies[start : start + 500]
                )
            )


@dataclass
class Scene:
    """The queue, the storage and the runners of the test."""

    broker: Broker
    queue: RabbitmqQueue
    storage: S3Server
    bucket: str
    start: Start
    runners: list[RunnerProcess] = field(default_factory=list)

    def hire(self) -> None:
        """One more runner."""
        environ = self.storage.environment(self.bucket) | {"WORKERPOOL_MAX_CRASHES": "100"}
        self.runners.append(self.start(self.queue.url, **environ))

    def stored(self) -> int:
        """Objects so far; only their names are looked at."""
        try:
            return len(os.listdir(self.storage.home / "objects" / self.bucket / "sessions" / "u"))  # noqa: PTH208 - fast
        except FileNotFoundError:
            return 0

    def reach(self, count: int) -> None:
        """Waits until so many are stored."""
        until(lambda: self.stored() >= count, WITHIN, lambda: f"{count} objects, {self.stored()} are there")

    def kill_one(self) -> None:
        """Kill -9, and another one takes its place."""
        self.runners.pop(0).kill()
        self.hire()

    def take_storage_away(self) -> None:
        """It comes back after a minute."""
        self.storage.kill()
        threading.Event().wait(STORAGE_AWAY)
        self.storage.start()

    def restart_rudely(self) -> None:
        """The broker dies and comes back."""
        self.broker.kill()
        self.broker.start()

    def restart_politely(self) -> None:
        """The broker is stopped and started."""
        self.broker.stop()
        self.broker.start()

    def idle(self) -> bool:
        """Whether nothing waits, and nothing is in anybody's hands."""
        health = [runner.probe("/health")[1] for runner in self.runners]
        busy = sum(it["worker"]["busy"] if it else 1 for it in health)
        return not busy and not self.queue.unfinished()

    def dismiss(self) -> None:
        """Everybody drains; what was not acknowledged is in the queue again."""
        for runner in self.runners:
            runner.process.terminate()
        assert [runner.wait(WITHIN) for runner in self.runners] == [0] * len(self.runners)


@pytest.fixture
def scene(own_server: S3Server, start: Start) -> Iterator[Scene]:
    """20,000 messages in the queue as the old worker declared it."""
    own_server.stop()
    own_server.logged = True
    own_server.start()
    with throw_away_broker() as broker:
        queue = RabbitmqQueue(broker.create_vhost())
        asyncio.run(publish(queue.url))
        yield Scene(broker, queue, own_server, own_server.create_bucket(), start)


def uploads(storage: S3Server, bucket: str) -> Counter[str]:
    """How often each object was stored, by its key, as the storage tells it."""
    stored = re.compile(rf" s3_PutObject \S+ /{bucket}/(\S+) 200 ")
    return Counter(stored.findall(storage.log.read_text()))


def test_not_one_of_20_000_messages_is_lost(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(RUNNERS):
        scene.hire()
    accidents: list[tuple[int, Callable[[], None]]] = [
        (1_500, scene.kill_one),
        (4_000, scene.restart_politely),
        (7_000, scene.queue.vhost.close_connections),
        (9_000, scene.take_storage_away),
        (11_000, scene.kill_one),
        (13_000, scene.restart_rudely),
        (16_000, scene.queue.vhost.close_connections),
        (18_000, scene.kill_one),
    ]
    for count, accident in accidents:
        scene.reach(count)
        accident()
    scene.reach(COUNT)
    until(scene.idle, WITHIN, "everything is acknowledged")
    scene.dismiss()

    assert scene.queue.unfinished() == 0
    wanted = {f"sessions/u/s{number}.json": message(number) for number in range(COUNT)}
    found = scene.storage.objects(scene.bucket)
    assert found.keys() == wanted.keys()
    assert [key for key, body in wanted.items() if found[key] != body] == []
    letters = asyncio.run(taken(scene.queue.url, names.dead(DEFAULT_QUEUE), len(BAD)))
    assert [letter.headers.get(HEADER_REASON) for letter in letters] == ["invalid"] * len(BAD)

    again = uploads(scene.storage, scene.bucket)
    repeated = sum(again.values()) - len(again)
    with capsys.disabled():
        # Overwritten with the same bytes: uploads that were done when their runner, connection or broker went away.
        print(f"\n{COUNT} messages, {len(accidents)} accidents: 0 lost, {repeated} stored twice")  # noqa: T201 - a result
    assert again.keys() <= wanted.keys()
    assert len(again) > COUNT * 0.9, "the storage's log says which"
    assert repeated <= AT_RISK * RUNNERS * len(accidents)
