"""Looking at queues of a real broker changes nothing: whoever declared them, what is in them stays, in order."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiormq
import pytest

from tests.support.broker_programs import NEWER, release
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.rabbitstand import Stand, stand
from workerpool.errors import ConfigError
from workerpool.sources.administration import DeadFilter, JobState
from workerpool.sources.base import NewJob
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.admin_doctor import examine
from workerpool.sources.rabbitmq.declare import ensure_queue
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import Envelope, encode
from workerpool.sources.rabbitmq.marks import Marks, Numbered
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import MARKS

pytestmark = pytest.mark.rabbitmq

FOREIGN = "leg.quorum"
BODIES = [b'{"n": 1}', b"no json", b'{"n": 3}']
UNLIMITED = {"x-queue-type": "quorum"} | ({"x-delivery-limit": -1} if release() == NEWER else {})

Read = Callable[[RabbitmqAdmin], Awaitable[Any]]


async def foreign(vhost: Vhost, bodies: Sequence[bytes], arguments: dict[str, Any]) -> None:
    """A queue of some other program, with messages in it."""
    connection = await aiormq.connect(vhost.url)
    channel = await connection.channel()
    await channel.queue_declare(FOREIGN, durable=True, arguments=arguments)
    for body in bodies:
        await channel.basic_publish(body, routing_key=FOREIGN)
    await connection.close()


def administration(vhost: Vhost, limit: int = 20) -> RabbitmqAdmin:
    return RabbitmqAdmin(Endpoint(vhost.url, delivery_limit=limit), management_url=vhost.management_url)


def declared(vhost: Vhost) -> set[str]:
    things = [*vhost.api("GET", "queues/{}?disable_stats=true"), *vhost.api("GET", "exchanges/{}?disable_stats=true")]
    return {it["name"] for it in things}


@pytest.mark.parametrize("arguments", [UNLIMITED, {}], ids=["quorum", "classic"])
async def test_a_queue_of_others_is_as_it_was_after_many_looks_and_nothing_is_declared(
    vhost: Vhost, arguments: dict[str, Any]
) -> None:
    await foreign(vhost, BODIES, arguments)
    before = declared(vhost)
    async with administration(vhost) as admin:
        first = await admin.jobs(FOREIGN, None, 50)
        assert [it.state for it in first] == [JobState.READY] * 3
        for _ in range(24):
            assert [it.id for it in await admin.jobs(FOREIGN, None, 50)] == [it.id for it in first]
        reads: list[Read] = [
            lambda it: it.jobs(None, None, 50),
            lambda it: it.jobs(None, JobState.COMPLETED, 50),
            lambda it: it.topics(),
            lambda it: it.dead(DeadFilter(FOREIGN)),
            lambda it: it.show(first[0].id),
            lambda it: it.cancel(12345),
        ]
        for read in reads:
            await read(admin)
    assert [it async for it in examine(Endpoint(vhost.url), vhost.management_url)]
    assert declared(vhost) == before
    assert [it.body for it in await taken(vhost.url, FOREIGN)] == BODIES


async def test_a_queue_of_others_with_a_delivery_limit_is_not_even_touched(vhost: Vhost) -> None:
    """The count of a message is seen only by adding to it."""
    await foreign(vhost, BODIES, {"x-queue-type": "quorum", "x-delivery-limit": 5})
    async with administration(vhost) as admin:
        for _ in range(8):
            with pytest.raises(ConfigError, match=r"one of the 5 deliveries .* let a runner consume it first"):
                await admin.jobs(FOREIGN, None, 50)
    messages = await taken(vhost.url, FOREIGN)
    assert [(it.body, it.headers.get("x-delivery-count", 0)) for it in messages] == [(it, 0) for it in BODIES]


async def test_nor_is_one_of_which_nobody_tells_the_limit(vhost: Vhost) -> None:
    await foreign(vhost, BODIES, {})
    async with RabbitmqAdmin(Endpoint(vhost.url), management_url="http://127.0.0.1:9") as admin:
        with pytest.raises(ConfigError, match=r"not known .*can't be reached.* WORKERPOOL_RABBITMQ_MANAGEMENT_URL"):
            await admin.jobs(FOREIGN, None, 50)


async def looked_at_often(place: Stand, admin: RabbitmqAdmin) -> list[int]:
    await ensure_queue(place.link, "orders", 20)
    await place.subscribe("orders", "orders")
    own = [Envelope("orders", place.ids.next(), f'{{"n": {n}}}', 0) for n in range(2)]
    messages = [Outgoing("", "orders", *encode(it)) for it in own]
    await place.sender.send([*messages, *(Outgoing("", "orders", it, {"from": "elsewhere"}) for it in BODIES)])
    listed = [it.id for it in await admin.jobs("orders", JobState.READY, 50)]
    for _ in range(24):
        assert [it.id for it in await admin.jobs("orders", JobState.READY, 50)] == listed
    return listed


@pytest.mark.parametrize("told", [True, False], ids=["limit known", "limit unknown"])
async def test_no_look_brings_a_job_to_its_end_or_into_another_lane(vhost: Vhost, *, told: bool) -> None:
    url = vhost.management_url if told else "http://127.0.0.1:9"
    async with stand(vhost.url) as place, RabbitmqAdmin(Endpoint(vhost.url), management_url=url) as admin:
        before = declared(vhost)
        listed = await looked_at_often(place, admin)
        assert declared(vhost) - before == {"orders", "orders.high", "orders.low", "orders.dead"}
    assert await depths(vhost.url, "orders", "orders.high", "orders.low", "orders.dead") == {
        "orders": len(listed), "orders.high": 0, "orders.low": 0, "orders.dead": 0,
    }  # fmt: skip
    messages = await taken(vhost.url, "orders")
    assert [it.body for it in messages] == [b'{"n": 0}', b'{"n": 1}', *BODIES]
    assert [it.headers.get("workerpool-crashes", 0) for it in messages] == [0, 0, 1, 1, 1]
    assert {it.headers.get("from") for it in messages[2:]} == {"elsewhere"}
    assert all(it.headers.get("x-delivery-count", 0) < 15 for it in messages)


async def test_a_copy_keeps_the_crashes_that_a_runner_would_charge(vhost: Vhost) -> None:
    async with stand(vhost.url) as place:
        await place.subscribe("orders", "orders")
        await place.send("orders", NewJob("1"))
        (sent,) = await taken(vhost.url, "orders")
        marks = Marks(StreamLog(place.link, place.sender, MARKS))
        await marks.mark(Numbered("orders", sent.message_id or "", 0))
        await marks.log.append([{"forgiven": ["orders", sent.message_id, 1]}])
        await taken(vhost.url, "orders")
        async with RabbitmqAdmin(Endpoint(vhost.url), management_url="http://127.0.0.1:9") as admin:
            await admin.jobs("orders", JobState.READY, 50)
    (it,) = await taken(vhost.url, "orders")
    assert (it.headers["workerpool-crashes"], it.headers.get("x-delivery-count", 0)) == (1, 0)


async def test_what_nobody_looks_at_unasked_is_named(vhost: Vhost) -> None:
    await foreign(vhost, BODIES, UNLIMITED)
    async with administration(vhost) as admin:
        assert await admin.jobs(None, None, 50) == []
        assert "; queues that are not WorkerPool's: leg.quorum (name one with --queue)" in (admin.unseen or "")
    checks = {it.name: it.detail async for it in examine(Endpoint(vhost.url), vhost.management_url)}
    assert checks["queues"] == "0 queues, 0 jobs ready; not looked at: queues that are not WorkerPool's: leg.quorum"
    async with stand(vhost.url) as place:
        await place.bury(FOREIGN, 1)
    async with administration(vhost) as admin:
        await admin.jobs(None, None, 50)
        assert "not WorkerPool's" not in (admin.unseen or "")
