"""What is enqueued on a real broker lands where it belongs, once, with everything that was said of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.waiting import eventually
from workerpool.errors import ConfigError, PayloadError, SourceError, SourceUnavailable
from workerpool.producer import Producer
from workerpool.sources.base import NewJob
from workerpool.sources.rabbitmq.declare import ensure_shared, ensure_subscription
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.sending import Sender

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def publisher(vhost: Vhost) -> AsyncIterator[RabbitmqPublisher]:
    made = RabbitmqPublisher(Endpoint(vhost.url))
    yield made
    await made.close()


async def subscribe(vhost: Vhost, topic: str, *queues: str) -> None:
    """As runners do when they start."""
    async with linked(vhost.url) as watched:
        await ensure_shared(watched.link)
        registry = Registry(watched.link, Sender(watched.link))
        await registry.open()
        for queue in queues:
            await ensure_subscription(watched.link, topic, queue, 20)
            await registry.subscribe(topic, queue)
        await registry.close()


async def test_a_plain_job_is_its_json_and_says_the_rest_in_headers(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    [sent] = await publisher.enqueue("orders", [NewJob('{"id": 1}', headers='{"tenant": "a"}', expires_in=60)])
    [message] = await taken(vhost.url, "orders")
    headers = message.headers
    assert message.body == b'{"id": 1}'
    assert (message.content_type, message.delivery_mode) == ("application/json", 2)
    assert headers["workerpool-id"] == sent.id
    assert headers["workerpool-headers"] == '{"tenant": "a"}'
    assert headers["workerpool-expires"] - headers["workerpool-enqueued"] == 60_000
    assert abs(headers["workerpool-enqueued"] / 1000 - time.time()) < 60


async def test_priorities_choose_the_lane_and_order_stays_within_one(
    vhost: Vhost, publisher: RabbitmqPublisher
) -> None:
    jobs = [NewJob(str(n), priority=(0, 5, -5)[n % 3]) for n in range(30)]
    await publisher.enqueue("orders", jobs)
    bodies = {
        name: [int(it.body) for it in await taken(vhost.url, name)] for name in ("orders", "orders.high", "orders.low")
    }
    assert bodies == {
        "orders": list(range(0, 30, 3)), "orders.high": list(range(1, 30, 3)), "orders.low": list(range(2, 30, 3)),
    }  # fmt: skip


async def test_every_subscribed_queue_gets_a_copy_and_the_queue_of_the_topic_none(
    vhost: Vhost, publisher: RabbitmqPublisher
) -> None:
    await subscribe(vhost, "orders", "orders@mail", "orders@stock")
    await publisher.enqueue("orders", [NewJob("1"), NewJob("2", priority=1)])
    assert await publisher.enqueue_bulk("orders", ["3"] * 10) == 10
    found = await depths(vhost.url, "orders@mail", "orders@mail.high", "orders@stock", "orders@stock.high", "orders")
    assert found == {
        "orders@mail": 11, "orders@mail.high": 1, "orders@stock": 11, "orders@stock.high": 1, "orders": None,
    }  # fmt: skip


async def test_a_group_that_comes_later_gets_what_is_sent_from_then_on(
    vhost: Vhost, publisher: RabbitmqPublisher
) -> None:
    await publisher.enqueue("orders", [NewJob("1")] * 3)
    await subscribe(vhost, "orders", "orders@mail")
    await publisher.enqueue("orders", [NewJob("2")] * 3)
    assert await depths(vhost.url, "orders", "orders@mail") == {"orders": 3, "orders@mail": 3}


async def test_delays_go_down_the_ladder_to_each_subscribed_queue(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    await subscribe(vhost, "orders", "orders@mail", "orders@stock")
    await publisher.enqueue("orders", [NewJob("1", delay=70, priority=3), NewJob("2", delay=0.5)])
    found = await taken(vhost.url, "workerpool.wait.1m")
    assert sorted(it.routing_key for it in found) == ["orders@mail.high", "orders@stock.high"]
    due = {it.headers["workerpool-due"] / 1000 - time.time() for it in found}
    assert all(10 < seconds <= 70 for seconds in due)
    assert await depths(vhost.url, "orders@mail", "orders@stock") == {"orders@mail": 1, "orders@stock": 1}


async def test_a_delayed_job_without_subscribers_finds_its_queue_declared(
    vhost: Vhost, publisher: RabbitmqPublisher
) -> None:
    await publisher.enqueue("orders", [NewJob("1", delay=1.2)])
    assert len(await taken(vhost.url, "orders", 1)) == 1


async def test_a_unique_key_holds_while_its_job_is_unfinished(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    other = RabbitmqPublisher(Endpoint(vhost.url))
    jobs = [
        NewJob("1", unique_key="k"),
        NewJob("2", unique_key="k"),
        NewJob("3"),
        NewJob("4", unique_key="l", delay=60),
    ]
    first, second, third, fourth = await publisher.enqueue("orders", jobs)
    assert (first.duplicate, second, third.duplicate, fourth.duplicate) == (False, (first.id, True), False, False)
    assert await other.enqueue("orders", [jobs[0], jobs[3]]) == [(first.id, True), (fourth.id, True)]
    assert await other.enqueue_chunks("parcels", [jobs[:1], jobs[:2]]) == 1
    assert await depths(vhost.url, "orders", "workerpool.wait.1m", "parcels") == {
        "orders": 2, "workerpool.wait.1m": 1, "parcels": 1,
    }  # fmt: skip
    await other.close()


async def test_a_full_queue_is_an_error_and_frees_the_keys(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    for name in ("orders", "orders.high", "orders.low"):
        vhost.api("PUT", f"queues/{{}}/{name}", {"durable": True, "arguments": arguments})
    await publisher.enqueue("orders", [NewJob("1")])
    with pytest.raises(SourceUnavailable, match="refused 1 message"):
        await publisher.enqueue("orders", [NewJob("2")])
    with pytest.raises(SourceUnavailable, match="the queue is full"):
        await publisher.enqueue("orders", [NewJob("3", unique_key="k")])
    await taken(vhost.url, "orders", acknowledge=True)
    assert [it.duplicate for it in await publisher.enqueue("orders", [NewJob("4", unique_key="k")])] == [False]


async def test_chunks_that_fail_say_how_many_are_there(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    arguments = {"x-queue-type": "classic", "x-max-length": 5, "x-overflow": "reject-publish"}
    for name in ("orders", "orders.high", "orders.low"):
        vhost.api("PUT", f"queues/{{}}/{name}", {"durable": True, "arguments": arguments})
    with pytest.raises(SourceError, match="4 jobs were enqueued before, maybe some of the next 4"):
        await publisher.enqueue_chunks("orders", ([NewJob(str(n))] * 4 for n in range(3)))


@pytest.mark.parametrize("queue", ["workerpool.history", "q" * 251, "orders.#", "注文"])
async def test_names_that_no_queue_of_a_broker_can_have_are_refused(publisher: RabbitmqPublisher, queue: str) -> None:
    with pytest.raises(ConfigError, match="queue: "):
        await publisher.enqueue(queue, [NewJob("1")])


async def test_a_deleted_queue_is_declared_again(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    await publisher.enqueue("orders", [NewJob("1", unique_key="k")])
    for name in ("orders", "orders.high", "orders.low"):
        vhost.api("DELETE", f"queues/{{}}/{name}")
    await publisher.enqueue("orders", [NewJob("2"), NewJob("3", unique_key="l")])
    assert await depths(vhost.url, "orders") == {"orders": 2}


async def test_a_deleted_step_of_the_ladder_is_declared_again(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    await publisher.enqueue("orders", [NewJob("1", delay=70)])
    vhost.api("DELETE", "queues/{}/workerpool.wait.1m")
    await publisher.enqueue("orders", [NewJob("2", delay=70)])
    assert await depths(vhost.url, "workerpool.wait.1m", "orders") == {"workerpool.wait.1m": 1, "orders": 0}


async def test_after_a_lost_connection_it_goes_on(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    await publisher.enqueue("orders", [NewJob("1", delay=60)])
    await asyncio.to_thread(vhost.close_connections)

    async def again() -> bool:
        try:
            await publisher.enqueue("orders", [NewJob("2", delay=60)])
        except SourceUnavailable:
            return False
        return True

    await eventually(again, "the publisher is back")
    assert (await depths(vhost.url, "workerpool.wait.1m"))["workerpool.wait.1m"] in (2, 3)


async def test_the_producer_refuses_what_only_a_database_can_do(publisher: RabbitmqPublisher) -> None:
    producer = Producer(publisher, max_payload=10)
    for call in (
        producer.send("orders", 1, connection=object()),
        producer.enqueue_bulk("orders", [1], connection=object()),
    ):
        with pytest.raises(ConfigError, match=r"connection: .* enqueue after the commit"):
            await call
    with pytest.raises(PayloadError):
        await producer.send("orders", "x" * 20)


async def test_an_unreachable_broker_is_told_without_its_password() -> None:
    publisher = RabbitmqPublisher(Endpoint("amqp://app:kestrel-4711@127.0.0.1:9/queue"))
    with pytest.raises(SourceUnavailable) as failed:
        await publisher.enqueue("orders", [NewJob("1")])
    assert "127.0.0.1:9" in str(failed.value)
    assert "kestrel" not in str(failed.value)
    await publisher.close()


async def test_the_tasks_of_a_loop_share_one_publisher(vhost: Vhost, publisher: RabbitmqPublisher) -> None:
    sent = await asyncio.gather(*(publisher.enqueue("orders", [NewJob(json.dumps(n))] * 5) for n in range(40)))
    ids: list[Any] = [it.id for made in sent for it in made]
    assert len(set(ids)) == 200
    assert await depths(vhost.url, "orders") == {"orders": 200}
