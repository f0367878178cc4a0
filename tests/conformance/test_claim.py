"""Claims: as many as asked, of the queues asked, to one consumer each; and the wake-up that precedes them."""

import asyncio

from tests.conformance.engine import Stage
from tests.support.waiting import DEADLINE
from workerpool.outcome import Interrupted
from workerpool.sources.base import NewJob


async def test_a_claim_keeps_the_limit_of_each_queue(stage: Stage) -> None:
    consumer = await stage.consumer("a", "b", "c")
    for queue in ("a", "b", "c"):
        await stage.send(queue, *(f'"{queue}{n}"' for n in range(5)))
    jobs = await consumer.source.claim({"a": 2, "b": 3})
    assert sorted(job.payload for job in jobs) == ['"a0"', '"a1"', '"b0"', '"b1"', '"b2"']
    assert {job.payload[1]: job.queue for job in jobs} == {"a": "a", "b": "b"}


async def test_an_empty_queue_gives_nothing_at_once(stage: Stage) -> None:
    consumer = await stage.consumer()
    assert await consumer.claim() == []


async def test_a_claimed_job_is_not_claimed_again(stage: Stage) -> None:
    await stage.send("orders", "1")
    first, second = await stage.consumer(), await stage.consumer()
    await first.one()
    assert await first.claim() == []
    assert await second.claim() == []


async def test_concurrent_consumers_never_share_a_job(stage: Stage) -> None:
    await stage.send("orders", *(str(n) for n in range(200)))
    consumers = [await stage.consumer() for _ in range(4)]
    claims = await asyncio.gather(*(consumer.claim(limit=20) for consumer in consumers for _ in range(1)))
    while more := [job for consumer in consumers for job in await consumer.claim(limit=20)]:
        claims.append(more)
    taken = [job.payload for jobs in claims for job in jobs]
    assert len(taken) == 200
    assert len(set(taken)) == 200


async def test_a_later_urgent_job_overtakes_an_earlier_one(stage: Stage) -> None:
    await stage.send("orders", "1", "2")
    consumer = await stage.consumer()
    assert [job.payload for job in await consumer.claim(limit=1)] == ["1"]
    await stage.send("orders", NewJob("3", priority=1))
    assert [job.payload for job in await consumer.claim(limit=1)] == ["3"]


async def test_a_released_job_keeps_its_place(stage: Stage) -> None:
    await stage.send("orders", "1", "2")
    consumer = await stage.consumer()
    [first] = await consumer.claim(limit=1)
    assert await consumer.settle(first, Interrupted())
    assert [job.payload for job in await consumer.claim(limit=1)] == ["1"]


async def test_waiting_ends_when_somebody_else_enqueues(stage: Stage) -> None:
    consumer = await stage.consumer()
    while await consumer.source.wait(0.1):
        assert await consumer.claim() == []
    waiting = asyncio.create_task(consumer.source.wait(60))
    await stage.send("orders", "1")
    assert await asyncio.wait_for(waiting, DEADLINE)
    await consumer.one()


async def test_waiting_ends_when_told_to(stage: Stage) -> None:
    consumer = await stage.consumer()
    while await consumer.source.wait(0.1):
        assert await consumer.claim() == []
    waiting = asyncio.create_task(consumer.source.wait(60))
    await asyncio.sleep(0)
    consumer.source.wake()
    assert await asyncio.wait_for(waiting, DEADLINE)


async def test_waiting_ends_by_itself_when_nothing_happens(stage: Stage) -> None:
    consumer = await stage.consumer()
    async with asyncio.timeout(DEADLINE):
        while await consumer.source.wait(0.1):
            assert await consumer.claim() == []


async def test_an_open_source_says_that_it_is_connected(stage: Stage) -> None:
    consumer = await stage.consumer()
    assert consumer.source.connected
