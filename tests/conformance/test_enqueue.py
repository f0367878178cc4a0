"""What is enqueued arrives once, in order, when it is due."""

import asyncio

import pytest

from tests.conformance.engine import Stage
from tests.support.waiting import DEADLINE
from workerpool.producer import Producer
from workerpool.sources.base import NewJob, Subscription


async def test_one_job_arrives_as_it_was_sent(stage: Stage) -> None:
    [sent] = await stage.send("orders", NewJob('{"id": 1}', headers='{"trace": "t"}'))
    job = await (await stage.consumer()).one()
    assert not sent.duplicate
    assert (job.queue, job.id, job.payload, job.headers) == ("orders", sent.id, '{"id": 1}', '{"trace": "t"}')
    assert (job.attempts, job.crashes, job.priority, job.expired) == (0, 0, 0, False)
    assert 0 <= job.waited < DEADLINE


async def test_many_jobs_come_in_the_order_of_enqueueing_and_ids_belong_to_their_payloads(stage: Stage) -> None:
    payloads = [str(n) for n in range(50)]
    sent = await stage.send("orders", *payloads)
    jobs = await (await stage.consumer()).claim(limit=100)
    by_id = {job.id: job.payload for job in jobs}
    assert [by_id[it.id] for it in sent] == payloads
    assert [job.payload for job in sorted(jobs, key=lambda job: job.id)] == payloads


async def test_nothing_is_enqueued_for_an_empty_batch(stage: Stage) -> None:
    assert await stage.send("orders") == []
    assert await (await stage.consumer()).claim() == []


async def test_first_in_first_out_within_a_priority(stage: Stage) -> None:
    for n in range(5):
        await stage.send("orders", str(n))
    consumer = await stage.consumer()
    taken = [(await consumer.claim(limit=1))[0].payload for _ in range(5)]
    assert taken == ["0", "1", "2", "3", "4"]


async def test_higher_priorities_come_first(stage: Stage) -> None:
    await stage.send("orders", *(NewJob(str(p), priority=p) for p in (0, -100, 7, 100, -1, 7)))
    consumer = await stage.consumer()
    taken = [(await consumer.claim(limit=1))[0].priority for _ in range(6)]
    assert taken == [100, 7, 7, 0, -1, -100]


async def test_a_delayed_job_waits_until_it_is_due(stage: Stage) -> None:
    await stage.send("orders", NewJob("1", delay=60))
    consumer = await stage.consumer()
    assert await consumer.claim() == []
    await stage.engine.advance(59)
    assert await consumer.claim() == []
    await stage.engine.advance(2)
    job = await consumer.soon()
    assert job.waited < DEADLINE, "a delay is no waiting time"


async def test_a_due_job_wakes_a_waiting_consumer(stage: Stage) -> None:
    consumer = await stage.consumer()
    await stage.send("orders", NewJob("1", delay=3600))
    while await consumer.source.wait(0):
        assert await consumer.claim() == []
    await stage.engine.advance(3601)
    assert await consumer.source.wait(DEADLINE)
    await consumer.soon()


async def test_an_expired_job_is_handed_out_as_expired(stage: Stage) -> None:
    await stage.send("orders", NewJob("1", expires_in=5), NewJob("2", expires_in=500))
    await stage.engine.advance(6)
    jobs = await (await stage.consumer()).claim()
    assert {job.payload: job.expired for job in jobs} == {"1": True, "2": False}


async def test_expired_jobs_that_nobody_claims_are_cleaned_up(stage: Stage) -> None:
    await stage.send("orders", NewJob("1", expires_in=5, unique_key="k"), NewJob("2", expires_in=5, delay=500), "3")
    await stage.engine.advance(6)
    await stage.engine.expire()
    assert [job.payload for job in await (await stage.consumer()).claim()] == ["3"]
    assert [it.state for it in await stage.engine.finished("orders")] == ["expired", "expired"]
    [again] = await stage.send("orders", NewJob("4", unique_key="k"))
    assert not again.duplicate


async def test_a_unique_key_admits_one_unfinished_job_per_queue(stage: Stage) -> None:
    [first] = await stage.send("orders", NewJob("1", unique_key="k"))
    [second] = await stage.send("orders", NewJob("2", unique_key="k"))
    [other_key] = await stage.send("orders", NewJob("3", unique_key="l"))
    [other_queue] = await stage.send("parcels", NewJob("4", unique_key="k"))
    assert second == (first.id, True)
    assert not other_key.duplicate
    assert not other_queue.duplicate
    assert [job.payload for job in await (await stage.consumer()).claim()] == ["1", "3"]


async def test_a_unique_key_counts_within_one_batch_too(stage: Stage) -> None:
    first, second, third = await stage.send("orders", NewJob("1", unique_key="k"), NewJob("2", unique_key="k"), "3")
    assert (first.duplicate, second, third.duplicate) == (False, (first.id, True), False)


async def test_a_delayed_job_holds_its_unique_key(stage: Stage) -> None:
    [first] = await stage.send("orders", NewJob("1", unique_key="k", delay=60))
    assert await stage.send("orders", NewJob("2", unique_key="k")) == [(first.id, True)]


async def test_concurrent_producers_of_one_key_make_one_job(stage: Stage) -> None:
    publishers = [stage.engine.publisher() for _ in range(4)]
    sent = await asyncio.gather(*(it.enqueue("orders", [NewJob("1", unique_key="k")]) for it in publishers))
    for publisher in publishers:
        await publisher.close()
    assert sorted(it.duplicate for [it] in sent) == [False, True, True, True]
    await (await stage.consumer()).one()


@pytest.mark.parametrize(
    "payload",
    ['"a\\u0000b"', '{"snow": "☃", "clef": "𝄞", "é": "\\ud83d\\ude00"}', "null", "0", '""', "[]", " {} ", "1e400"],
)
async def test_any_json_text_survives(stage: Stage, payload: str) -> None:
    await stage.send("orders", NewJob(payload, headers='{"t": "\\u0000 ☃"}'))
    job = await (await stage.consumer()).one()
    assert (job.payload, job.headers) == (payload, '{"t": "\\u0000 ☃"}')


async def test_a_large_payload_survives(stage: Stage) -> None:
    payload = f'"{"x" * 1_048_574}"'
    await stage.send("orders", payload)
    assert (await (await stage.consumer()).one()).payload == payload


async def test_bulk_enqueueing_keeps_order_and_wakes(stage: Stage) -> None:
    consumer = await stage.consumer()
    async with Producer(stage.engine.publisher()) as producer:
        assert await producer.enqueue_bulk("orders", range(300)) == 300
    await consumer.source.wait(10)
    jobs = sorted(await consumer.claim(limit=500), key=lambda job: job.id)
    assert [job.payload for job in jobs] == [str(n) for n in range(300)]
    assert {(job.attempts, job.crashes, job.priority, job.expired) for job in jobs} == {(0, 0, 0, False)}


async def test_bulk_enqueueing_reaches_every_group(stage: Stage) -> None:
    groups = [Subscription("orders", "orders@mail"), Subscription("orders", "orders@stock")]
    await stage.consumer(*groups)
    async with Producer(stage.engine.publisher()) as producer:
        await producer.enqueue_bulk("orders", range(5))
    assert [(await stage.engine.backlog(group.queue)).ready for group in groups] == [5, 5]


@pytest.mark.parametrize("delay", [0.0, 60.0], ids=["ready", "delayed"])
async def test_a_cancelled_job_is_gone_and_its_key_free(stage: Stage, delay: float) -> None:
    [sent] = await stage.send("orders", NewJob("1", unique_key="k", delay=delay))
    assert await stage.engine.cancel(sent.id)
    assert not await stage.engine.cancel(sent.id)
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.delayed) == (0, 0)
    assert [(it.id, it.state) for it in await stage.engine.finished("orders")] == [(sent.id, "cancelled")]
    assert [it.duplicate for it in await stage.send("orders", NewJob("2", unique_key="k"))] == [False]


async def test_the_backlog_counts_ready_delayed_and_in_flight(stage: Stage) -> None:
    consumer = await stage.consumer()
    await stage.send("orders", "1", "2", "3", NewJob("4", delay=600))
    await stage.engine.advance(100)
    await consumer.claim(limit=1)
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.in_flight, reading.delayed, reading.dead) == (2, 1, 1, 0)
    assert reading.oldest_age is not None
    assert 100 <= reading.oldest_age < 200
    assert reading.next_due is not None
    assert 400 < reading.next_due <= 500


async def test_the_backlog_of_an_unknown_queue_is_zero(stage: Stage) -> None:
    reading = await stage.engine.backlog("nobody")
    assert (reading.ready, reading.in_flight, reading.oldest_age, reading.next_due) == (0, 0, None, None)
