"""Traps of RabbitMQ and its client that a source must not fall into; each costs others jobs or whole fleets."""

from contextlib import suppress
from functools import partial
from typing import Any

import aiormq
import pytest

from tests.integration.rabbitmq.sources import Consumer, consumer, depth, publish
from tests.support.rabbitmq import Vhost
from tests.support.waiting import DEADLINE, eventually
from workerpool.errors import SourceUnavailable
from workerpool.outcome import SUCCEEDED, Retry, Stale
from workerpool.sources.base import NewJob, Settlement
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher

pytestmark = pytest.mark.rabbitmq


async def enqueue(vhost: Vhost, *payloads: str, limit: int = 20) -> None:
    publisher = RabbitmqPublisher(Endpoint(vhost.url, delivery_limit=limit))
    await publisher.enqueue("orders", [NewJob(payload) for payload in payloads])
    await publisher.close()


async def delivered(worker: Consumer) -> bool:
    return worker.source.holding.unsettled["orders"] > 0


async def test_a_consumer_that_the_broker_cancels_is_started_again(vhost: Vhost) -> None:
    """Finding 2: the client drops a cancelled consumer without a word, and the worker is up and deaf."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        vhost.api("DELETE", "queues/{}/orders")

        async def consuming() -> bool:
            feeding = worker.source._feeding
            return feeding is not None and (bool(feeding.consumers.missing) or not feeding.consuming)

        await eventually(consuming, "the news that the consumer is gone")
        await worker.source.wait(0)
        await enqueue(vhost, "1")
        assert (await worker.soon()).payload == "1"


async def test_drains_never_use_up_the_deliveries_of_jobs_that_did_not_start(vhost: Vhost) -> None:
    """Finding 5: every requeue counts towards x-delivery-limit, so restarts could bury jobs that never ran."""
    await enqueue(vhost, "1", "2", "3", limit=5)
    for _ in range(6):
        async with consumer(vhost, limit=5) as worker:
            await worker.source.wait(0)
            await eventually(partial(delivered, worker), "deliveries")
    async with consumer(vhost, limit=5) as worker:
        jobs = [await worker.soon() for _ in range(3)]
        assert sorted((job.payload, job.crashes, job.attempts) for job in jobs) == [(n, 0, 0) for n in "123"]
        await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w") for job in jobs])
    assert await depth(vhost, "orders.dead") == 0


async def test_a_crash_loop_is_counted_by_us_and_not_ended_by_the_broker(vhost: Vhost) -> None:
    """Finding 5: x-delivery-limit 5, and a job that takes its runner down each time."""
    await enqueue(vhost, "1", limit=5)
    seen = []
    async with consumer(vhost, limit=5) as worker:
        for _ in range(5):
            job = await worker.soon()
            seen.append(job.crashes)
            assert not job.crashes or await worker.source.mark(job)
            worker.source._must_parts().link.reset("a crash")
        last = await worker.soon()
        assert [*seen, last.crashes] == list(range(6))
        await worker.source.settle([Settlement(last, SUCCEEDED, 0.1, "w")])
    assert await depth(vhost, "orders.dead") == 0


async def test_what_a_lost_connection_held_is_fenced_and_comes_again(vhost: Vhost) -> None:
    """Finding 8: after a loss the old tags mean nothing; acknowledging them would end the next channel too."""
    await enqueue(vhost, "1")
    async with consumer(vhost) as worker:
        late = await worker.soon()
        vhost.close_connections()

        async def told() -> bool:
            return worker.fenced == [late]

        await eventually(told, "fencing")
        assert await worker.source.settle([Settlement(late, SUCCEEDED, 0.1, "w")]) == [late]
        again = await worker.soon()
        assert (again.id, again.crashes) == (late.id, 1)
        assert await worker.source.settle([Settlement(again, SUCCEEDED, 0.1, "w")]) == []


async def test_a_retry_comes_back_by_the_ladder(vhost: Vhost) -> None:
    """Finding 4: no plugin delays it; finding 6: its hand-over is confirmed before the acknowledgement."""
    await enqueue(vhost, '{"n": 1}', '{"n": 2}')
    async with consumer(vhost) as worker:
        job, other = [await worker.soon() for _ in range(2)]
        assert await worker.source.settle([Settlement(other, Retry(70, "much later"), 0.1, "w")]) == []
        assert await depth(vhost, "workerpool.wait.1m") == 1
        assert await worker.source.settle([Settlement(job, Retry(2.5, "later"), 0.1, "w")]) == []
        again = await worker.soon()
        assert (again.id, again.payload, again.attempts) == (job.id, job.payload, 1)
        assert again.waited < DEADLINE


async def test_messages_that_can_be_no_jobs_become_dead_letters_and_harm_nobody(vhost: Vhost) -> None:
    """Finding 6: others drop them, requeue them for ever, or leave them unacknowledged."""
    async with consumer(vhost) as worker:
        await publish(vhost, "orders", b"\xff\xfe")
        await publish(vhost, "orders", b"<a/>", content_type="application/xml")
        await publish(vhost, "orders", b'{"fine": 1}', content_type="text/plain")
        assert (await worker.soon()).payload == '{"fine": 1}'

        async def buried() -> bool:
            await worker.source.claim({"orders": 1})
            return await depth(vhost, "orders.dead") == 2

        await eventually(buried, "two dead letters")


async def test_a_queue_of_another_program_is_used_as_it_is(vhost: Vhost) -> None:
    """The queue of the worker that this replaces: a limit of 5, a dead-letter exchange of its own."""
    connection = await aiormq.connect(vhost.url)
    channel = await connection.channel()
    theirs: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "raw_sessions.dlx",
    }
    await channel.queue_declare("raw_sessions", durable=True, arguments=theirs)
    await connection.close()
    await publish(vhost, "raw_sessions", b'{"user_id": "u"}')
    async with consumer(vhost, "raw_sessions") as worker:
        job = await worker.soon("raw_sessions")
        assert job.payload == '{"user_id": "u"}'
        assert await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")]) == []
    assert await depth(vhost, "raw_sessions") == 0


async def test_silence_in_front_of_a_full_queue_costs_the_channel(vhost: Vhost) -> None:
    """Finding 8: fleets sat deaf for days behind a green probe."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        upkeep, parts = worker.source._upkeep, worker.source._must_parts()
        assert upkeep is not None
        upkeep.silence = 0.5
        # Whatever the reason: the broker delivers and nothing reaches the buffers.
        for label in list(parts.link.consumers()):
            parts.link.consumers()[label] = lambda _message: None
        await enqueue(vhost, *(str(n) for n in range(20)))
        epoch = parts.link.epoch

        async def replaced() -> bool:
            # A claim counts as asking for a few seconds only, and the broker may be slower to count its jobs.
            if parts.link.epoch == epoch and parts.link.connected:
                with suppress(SourceUnavailable):
                    await worker.source.claim({"orders": 1})
            return parts.link.epoch > epoch and parts.link.connected

        await eventually(replaced, "another channel")
        await worker.soon()
        assert not worker.source.deaf


async def test_a_job_that_only_its_handler_takes_for_lost_comes_again_at_no_cost(vhost: Vhost) -> None:
    """Nobody would ever acknowledge it, until the broker ends the channel, and all jobs with it, after 30 minutes."""
    await enqueue(vhost, "1")
    async with consumer(vhost) as worker:
        first = await worker.soon()
        assert await worker.source.settle([Settlement(first, Stale(), 0.1, "w")]) == []
        upkeep = worker.source._upkeep
        assert upkeep is not None
        upkeep.left = 0.5
        again = await worker.soon()
        assert (again.id, again.attempts, again.crashes) == (first.id, 0, 0)
        assert await worker.source.settle([Settlement(again, Stale(), 0.1, "w")]) == []
        upkeep.left = 3600.0
    async with consumer(vhost) as worker:
        last = await worker.soon()
        assert (last.id, last.attempts, last.crashes) == (first.id, 0, 0)
        assert await worker.source.settle([Settlement(last, SUCCEEDED, 0.1, "w")]) == []
