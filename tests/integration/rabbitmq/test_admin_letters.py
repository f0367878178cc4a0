"""Dead letters on a real broker: listed, made ready as they were, dropped; none gets lost by looking."""

from collections.abc import AsyncIterator

import pytest

from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.rabbitstand import Stand, stand
from workerpool.errors import ConfigError
from workerpool.sources.administration import DeadFilter, JobState
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.endpoint import Endpoint

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def place(vhost: Vhost) -> AsyncIterator[Stand]:
    async with stand(vhost.url) as made:
        yield made


async def test_they_are_listed_newest_first_by_queue_reason_and_id(place: Stand) -> None:
    first = await place.bury("orders", 3)
    second = await place.bury("orders", 1, "timeout")
    third = await place.bury("mails", 1, priority=4)
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        assert [it.id for it in await admin.dead(DeadFilter(limit=2))] == [*third, *second]
        assert [it.id for it in await admin.dead(DeadFilter("orders"))] == [*second, *reversed(first)]
        assert [it.id for it in await admin.dead(DeadFilter(reason="timeout"))] == second
        [it] = await admin.dead(DeadFilter(ids=(first[1],)))
        assert (it.queue, it.payload, it.headers, it.error) == (
            "orders", '{"n": 1}', '{"tenant": "acme"}', "ValueError: no such thing",
        )  # fmt: skip
        assert (it.worker, it.retries, it.crashes, it.priority, it.forwarded_to) == ("notify", 3, 1, 0, None)
        counts = [DeadFilter(), DeadFilter("orders"), DeadFilter(reason="error"), DeadFilter(limit=2)]
        assert [await admin.dead_count(it) for it in counts] == [5, 4, 4, 2]
        rows = await admin.jobs("mails", JobState.DEAD, 10)
        assert [(row.id, row.note) for row in rows] == [(third[0], "error: ValueError: no such thing")]
        with pytest.raises(
            ConfigError, match=r"'nobody' is not known here; queues of this virtual host: mails, orders"
        ):
            await admin.dead(DeadFilter("nobody"))


async def test_looking_often_loses_and_drops_nothing(place: Stand) -> None:
    ids = await place.bury("orders", 4)
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        for _ in range(14):
            assert sorted(it.id for it in await admin.dead(DeadFilter("orders"))) == ids
    messages = await taken(place.url, "orders.dead")
    assert max(it.headers.get("x-delivery-count", 0) for it in messages) < 10
    assert [it.headers["workerpool-id"] for it in messages] == ids


async def test_looking_drops_nothing_from_a_queue_of_dead_letters_with_a_low_limit(vhost: Vhost, place: Stand) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2}
    vhost.api("PUT", "queues/{}/orders.dead", {"durable": True, "arguments": arguments})
    ids = await place.bury("orders", 4)
    async with RabbitmqAdmin(Endpoint(place.url), management_url=vhost.management_url) as admin:
        for _ in range(8):
            assert sorted(it.id for it in await admin.dead(DeadFilter("orders"))) == ids


async def test_what_the_broker_gave_up_is_listed_as_crashed_and_can_be_redriven(place: Stand) -> None:
    await place.wear_out("raw", [b'{"n": 1}', b"\xff no text", b"no json"])
    await place.subscribe("raw", "raw")
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        found = await admin.dead(DeadFilter("raw"))
        assert {it.reason for it in found} == {"crashed"}
        assert sorted(it.payload for it in found) == ['"/yBubyB0ZXh0"', '"no json"', '{"n": 1}']
        assert await admin.dead(DeadFilter("raw")) == found, "ids of somebody else's messages hold"
        assert await admin.redrive(DeadFilter("raw", ids=tuple(it.id for it in found[1:]))) == 2
        assert await admin.redrive(DeadFilter("raw", reason="crashed")) == 1
    again = await taken(place.url, "raw")
    assert sorted(it.body for it in again) == [b"no json", b'{"n": 1}', b"\xff no text"]
    assert {it.headers["workerpool-headers"] for it in again} == {'{"from": "elsewhere"}'}
    assert not any(name.startswith("x-death") for it in again for name in it.headers)


async def test_redriven_it_is_as_it_was_sent_with_nothing_on_record(place: Stand) -> None:
    payload = ' {"a":"\\u0000\\ud83d", "b": 1e400}'
    [id_] = await place.bury("orders", 1, payload=payload, priority=4, key="k", expires=1, due=1)
    [raw] = await place.bury("orders", 1, raw=b"\x00\xff")
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        assert await admin.redrive(DeadFilter(ids=(id_, raw))) == 2
        assert await admin.dead_count(DeadFilter()) == 0
    [high] = await taken(place.url, "orders.high")
    [plain] = await taken(place.url, "orders")
    assert (high.body, plain.body) == (payload.encode(), b"\x00\xff")
    assert set(high.headers) == {"workerpool-id", "workerpool-enqueued", "workerpool-priority", "workerpool-headers"}
    assert high.headers["workerpool-id"] == id_


async def test_limits_take_the_oldest_and_progress_is_told(place: Stand) -> None:
    ids = await place.bury("orders", 250)
    told: list[int] = []
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        assert await admin.redrive(DeadFilter("orders", limit=120), told.append) == 120
        assert await admin.drop(DeadFilter("orders", limit=3), told.append) == 3
        left = await admin.dead(DeadFilter("orders"))
    assert sum(told) == 123
    assert sorted(it.id for it in left) == ids[123:]
    assert [it.headers["workerpool-id"] for it in await taken(place.url, "orders")] == ids[:120]


async def test_dropped_is_gone_and_the_rest_stays(place: Stand) -> None:
    ids = await place.bury("orders", 3)
    await place.bury("orders", 2, "timeout")
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        assert await admin.drop(DeadFilter("orders", reason="timeout")) == 2
        assert await admin.drop(DeadFilter(ids=(ids[1], 12345))) == 1
        assert sorted(it.id for it in await admin.dead(DeadFilter())) == [ids[0], ids[2]]
    assert await depths(place.url, "orders", "orders.dead") == {"orders": 0, "orders.dead": 2}


async def test_what_dies_after_the_redrive_began_stays_dead(place: Stand) -> None:
    ids = await place.bury("orders", 3)
    later = await place.bury("orders", 2, died_in=60)
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        assert await admin.redrive(DeadFilter("orders")) == 3
        assert sorted(it.id for it in await admin.dead(DeadFilter())) == later
    assert [it.headers["workerpool-id"] for it in await taken(place.url, "orders")] == ids
