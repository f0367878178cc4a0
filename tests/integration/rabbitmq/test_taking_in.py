"""What a runner makes of messages that come again, come odd, or are cancelled while they wait in it."""

import asyncio
from collections.abc import Sequence

import aiormq
import pytest

from tests.integration.rabbitmq.sources import Consumer, consumer, publish
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Settlement
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.envelope import Envelope, encode
from workerpool.sources.rabbitmq.outgoing import Outgoing

pytestmark = pytest.mark.rabbitmq


async def held(worker: Consumer, count: int) -> None:
    async def here() -> bool:
        return worker.source.holding.unsettled["orders"] == count

    await eventually(here, f"{count} deliveries")


async def test_crashes_are_counted_where_the_broker_counts_none(vhost: Vhost) -> None:
    """A classic queue of another program says only that a message came again."""
    connection = await aiormq.connect(vhost.url)
    await (await connection.channel()).queue_declare("orders", durable=True)
    await connection.close()
    await publish(vhost, "orders", b"1")
    async with consumer(vhost) as worker:
        for crashes in range(3):
            job = await worker.soon()
            assert job.crashes == crashes
            assert not crashes or await worker.source.mark(job)
            worker.source._must_parts().link.reset("a crash")
        last = await worker.soon()
        assert last.crashes == 3
        await worker.source.settle([Settlement(last, SUCCEEDED, 0.1, "w")])


async def test_one_message_that_cannot_be_published_again_stops_no_other(vhost: Vhost) -> None:
    """It has to be copied and can't be: it becomes a dead letter, and the others are handed out."""
    async with consumer(vhost) as worker:
        parts = worker.source._must_parts()
        await worker.source.wait(0)
        await publish(vhost, "orders", b'"odd"', b'"good"')
        await held(worker, 2)
        (odd,) = [it for it in parts.buffers["orders"] if it.envelope.payload == '"odd"']
        parts.buffers["orders"].remove(odd)
        odd.envelope = odd.envelope._replace(headers='{"name": "\udce9"}')
        parts.intake._again.append((odd, False))
        assert (await worker.soon()).payload == '"good"'
        (letter,) = await taken(vhost.url, "orders.dead", 1)
        assert letter.headers["workerpool-reason"] == "invalid"


async def test_a_job_whose_cancellation_failed_goes_on(vhost: Vhost) -> None:
    """It was taken out of the buffer to be cancelled; nobody was told that it is."""
    async with consumer(vhost) as worker:
        parts = worker.source._must_parts()
        await worker.source.wait(0)
        await parts.sender.send([Outgoing("", "orders", *encode(Envelope("orders", 7, "1", 5)))])
        await held(worker, 1)
        parts.link._publish.drop("cut by a test")
        with pytest.raises(SourceUnavailable):
            await parts.cancelling.cancel(frozenset({7}))
        assert [it.envelope.id for it in parts.buffers["orders"]] == [7]
        job = await worker.soon()
        await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")])


async def test_a_job_that_is_being_replaced_is_not_cancelled_as_well(vhost: Vhost) -> None:
    """Its delivery would be acknowledged twice, and the channel with all jobs would be lost."""
    async with consumer(vhost) as worker:
        parts = worker.source._must_parts()
        await worker.source.wait(0)
        await parts.sender.send([Outgoing("", "orders", *encode(Envelope("orders", 7, "1", 5)))])
        await held(worker, 1)
        found: Sequence[Delivery] = [*parts.buffers["orders"]]
        epoch = parts.link.epoch
        copies = [Outgoing("", "orders", *encode(it.envelope)) for it in found]
        # Tasks start in this order, and the first one can't be over before the second begins.
        _, cancelled = await asyncio.gather(
            parts.settling.replace(found, copies), parts.cancelling.cancel(frozenset({7}))
        )
        assert cancelled == ([], [])
        await parts.holding.ack(found)
        await parts.holding.requeue(found)
        parts.buffers["orders"].remove(found[0])
        job = await worker.soon()
        assert job.id == 7
        await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")])
        assert (parts.link.epoch, worker.fenced) == (epoch, [])
    assert await depths(vhost.url, "orders") == {"orders": 0}
