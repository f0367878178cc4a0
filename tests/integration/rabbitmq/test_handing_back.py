"""What a runner gives back when it leaves: nothing is lost, nothing runs too early, nothing overtakes."""

import time

import pytest

from tests.integration.rabbitmq.sources import Consumer, consumer, patient_goodbyes, publish
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.waiting import eventually
from workerpool.sources.rabbitmq.envelope import Envelope, encode
from workerpool.sources.rabbitmq.outgoing import Outgoing

pytestmark = pytest.mark.rabbitmq

LANES = ("orders.high", "orders", "orders.low")


async def held(worker: Consumer, count: int = 1) -> None:
    async def here() -> bool:
        return worker.source.holding.unsettled["orders"] == count

    await eventually(here, f"{count} deliveries")


async def send(worker: Consumer, lane: str, job: Envelope) -> None:
    await worker.source._must_parts().sender.send([Outgoing("", lane, *encode(job))])


async def test_a_message_that_is_no_job_keeps_its_body(vhost: Vhost) -> None:
    """The next runner buries it, with the bytes that somebody published."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        await publish(vhost, "orders", b"\x08\x96\x01PRECIOUS", content_type="application/x-protobuf")
        await held(worker)
        with patient_goodbyes():
            await worker.source.retire()
        assert [it.body for it in await taken(vhost.url, "orders", 1)] == [b"\x08\x96\x01PRECIOUS"]
        assert await depths(vhost.url, "orders.high", "orders.dead") == {"orders.high": 0, "orders.dead": 0}


async def test_a_job_that_is_due_tomorrow_stays_due_tomorrow(vhost: Vhost) -> None:
    """With so low a limit every job is given back as a copy."""
    now = round(time.time() * 1000)
    due = now + 86_400_000
    async with consumer(vhost, limit=3) as worker:
        await worker.source.wait(0)
        await send(worker, "orders", Envelope("orders", 7, "1", due, due=due))
        await held(worker)
        with patient_goodbyes():
            await worker.source.retire()
        assert await depths(vhost.url, *LANES) == dict.fromkeys(LANES, 0)
        (it,) = await taken(vhost.url, "workerpool.wait.6h", 1)
        assert (it.body, it.headers["workerpool-due"], it.routing_key) == (b"1", due, "orders")


async def test_a_job_of_low_priority_stays_behind_the_others(vhost: Vhost) -> None:
    """A copy goes to the head of its own kind, not to the head of all."""
    async with consumer(vhost, limit=3) as worker:
        await worker.source.wait(0)
        await send(worker, "orders.low", Envelope("orders", 7, "1", 5, priority=-5))
        await held(worker)
        with patient_goodbyes():
            await worker.source.retire()
        assert await depths(vhost.url, *LANES) == {"orders.high": 0, "orders": 0, "orders.low": 1}
        assert (await taken(vhost.url, "orders.low", 1))[0].headers["workerpool-priority"] == -5


async def test_an_acknowledgement_needs_no_connection_to_publish_on(vhost: Vhost) -> None:
    """What is lost between the confirm and the acknowledgement is the other connection; the channel goes on."""
    async with consumer(vhost) as worker:
        await publish(vhost, "orders", b"1")
        job = await worker.soon()
        link = worker.source._must_parts().link
        epoch = link.epoch
        link._publish.drop("cut by a test")
        assert not link.connected
        await worker.source.holding.ack([job.handle])

        async def acknowledged() -> bool:
            said = vhost.broker.ctl(
                "list_queues", "-q", "-p", vhost.name, "name", "messages_unacknowledged", "messages"
            )
            return "orders\t0\t0" in said.splitlines()

        await eventually(acknowledged, "the acknowledgement")
        assert link.epoch == epoch
