"""One message to a topic is a job of its own for every queue that subscribed to it."""

from uuid import uuid4

import pytest

from tests.integration.rabbitmq.sources import Consumer, depth
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import NewJob, Settlement, Subscription
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.source import Identity, RabbitmqSource

pytestmark = pytest.mark.rabbitmq


async def test_a_job_is_not_taken_for_the_copy_that_another_queue_got(vhost: Vhost) -> None:
    """Both copies carry one message id; a loss of the channel brings the one back that didn't run yet."""
    source = RabbitmqSource(Endpoint(vhost.url), Identity(uuid4(), "both"), 4)
    await source.open([Subscription("orders", "orders@a"), Subscription("orders", "orders@b")], tuple)
    worker = Consumer(source)
    try:
        await source.wait(0)
        publisher = RabbitmqPublisher(Endpoint(vhost.url))
        await publisher.enqueue("orders", [NewJob("1")])
        await publisher.close()

        async def both() -> bool:
            return all(source.holding.unsettled[queue] == 1 for queue in ("orders@a", "orders@b"))

        await eventually(both, "both copies")
        await source.settle([Settlement(await worker.soon("orders@a"), SUCCEEDED, 0.1, "w")])
        source._must_parts().link.reset("lost")
        job = await worker.soon("orders@b")
        assert (job.queue, job.payload) == ("orders@b", "1")
        await source.settle([Settlement(job, SUCCEEDED, 0.1, "w")])
    finally:
        await source.close()
    assert await depth(vhost, "orders@b") == 0
