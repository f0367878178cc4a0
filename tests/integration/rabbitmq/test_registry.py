"""Who is subscribed to what, on a real broker: what one process records all others know."""

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.sources.base import NewJob
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.registry import Registry
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import SUBSCRIPTIONS

pytestmark = pytest.mark.rabbitmq


async def test_a_new_reader_knows_all_that_was_recorded_before(vhost: Vhost) -> None:
    async with linked(vhost.url) as one, linked(vhost.url) as two:
        first, second = Registry(one.link, Sender(one.link)), Registry(two.link, Sender(two.link))
        await first.open()
        assert first.known() == {}
        await first.subscribe("orders", "orders@stock")
        await first.subscribe("orders", "orders@mail")
        await first.subscribe("events", "events")
        await first.note("parcels")
        await second.open()
        assert second.queues_of("orders") == ("orders@mail", "orders@stock")
        assert second.queues_of("parcels") == ()
        assert second.known() == first.known() == {
            "events": {"events"}, "orders@mail": {"orders"}, "orders@stock": {"orders"}, "parcels": set(),
        }  # fmt: skip
        await second.unsubscribe("orders", "orders@mail")
        await first.sync()
        assert first.queues_of("orders") == ("orders@stock",)
        assert first.known()["orders@mail"] == frozenset()
        await first.close()
        await second.close()


async def test_an_open_reader_hears_of_what_comes(vhost: Vhost) -> None:
    async with linked(vhost.url) as one, linked(vhost.url) as two:
        first, second = Registry(one.link, Sender(one.link)), Registry(two.link, Sender(two.link))
        await first.open()
        await second.open()
        await first.subscribe("orders", "orders@mail")

        async def heard() -> bool:
            return second.queues_of("orders") == ("orders@mail",)

        await eventually(heard, "the other one knows the subscription")
        await first.close()
        await second.close()


async def test_a_queue_is_recorded_once_however_many_publishers_declare_it(vhost: Vhost) -> None:
    for delay in (0, 0, 60):
        publisher = RabbitmqPublisher(Endpoint(vhost.url))
        await publisher.enqueue("nobody", [NewJob("1", delay=delay)])
        await publisher.close()
        vhost.api("DELETE", "queues/{}/nobody.high")
    async with linked(vhost.url) as watched:
        assert await StreamLog(watched.link, Sender(watched.link), SUBSCRIPTIONS).read() == [{"queue": "nobody"}]


async def test_a_publisher_that_may_not_read_publishes_all_the_same(vhost: Vhost) -> None:
    rights = {"configure": ".*", "write": ".*", "read": rf"^(?!{SUBSCRIPTIONS})"}
    vhost.api("PUT", f"permissions/{{}}/{vhost.user}", rights)
    publisher = RabbitmqPublisher(Endpoint(vhost.url))
    await publisher.enqueue("nobody", [NewJob("1")])
    await publisher.close()
    vhost.api("PUT", f"permissions/{{}}/{vhost.user}", {**rights, "read": ".*"})
    async with linked(vhost.url) as watched:
        assert await StreamLog(watched.link, Sender(watched.link), SUBSCRIPTIONS).read() == [{"queue": "nobody"}]
