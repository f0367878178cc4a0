"""What a broker will never take, because it is too large, holds up nobody and is lost by nobody."""

import json
from collections.abc import Iterator
from contextlib import suppress

import aiormq
import pytest

from tests.integration.rabbitmq.sources import Consumer, consumer, depth, publish
from tests.integration.rabbitmq.test_refusals import settling
from tests.support.linked import linked
from tests.support.rabbitmq import Broker, Vhost
from tests.support.rabbitqueues import taken
from tests.support.waiting import eventually
from workerpool.errors import PayloadError, SourceUnavailable
from workerpool.outcome import DeadLetter, DeadReason, Output, Retry, Succeeded
from workerpool.sources.base import Job, NewJob, Settlement
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.rejecting import is_kept
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import HISTORY

pytestmark = pytest.mark.rabbitmq

MOST = 20_000
"""Bytes of a message that the broker of these tests takes."""
BY_DEFAULT = 134_217_728


@pytest.fixture
def small(rabbitmq_broker: Broker, vhost: Vhost) -> Iterator[Vhost]:
    """A virtual host of a broker that takes small messages only."""
    _takes(rabbitmq_broker, MOST)
    yield vhost
    _takes(rabbitmq_broker, BY_DEFAULT)


def _takes(broker: Broker, most: int) -> None:
    """Channels that are opened from now on take messages of so many bytes."""
    broker.ctl(
        "eval",
        f"application:set_env(rabbit, max_message_size, {most}), persistent_term:put(max_message_size, {most}).",
    )


async def _enqueue(vhost: Vhost, *jobs: NewJob) -> None:
    publisher = RabbitmqPublisher(Endpoint(vhost.url))
    await publisher.enqueue("orders", jobs)
    await publisher.close()


async def _records(vhost: Vhost, state: str) -> list[dict[str, object]]:
    async with linked(vhost.url) as watched:
        found = await StreamLog(watched.link, Sender(watched.link), HISTORY).read()
    return [it for it in found if it.get("state") == state]


async def _settled(worker: Consumer, *batch: Settlement) -> None:
    """Until a settler, as runners have it, has nothing left; nobody runs any of these jobs again."""
    async with settling(worker) as (settler, done, stale):
        for it in batch:
            settler.add(it)

        async def through() -> bool:
            return {it.job.id for it in done} == {it.job.id for it in batch}

        await eventually(through, "all outcomes")
        assert (settler.backlog, stale, worker.source.holding.jobs) == (0, [], {})


def _output(job: Job, size: int) -> Settlement:
    return Settlement(job, Succeeded(None, (Output("good", json.dumps("x" * (size - 2))),)), 0.1, "w")


async def test_an_output_that_is_too_large_is_a_dead_letter_and_the_others_are_settled(small: Vhost) -> None:
    await _enqueue(small, *(NewJob(str(number)) for number in range(3)))
    async with consumer(small, "orders", "good") as worker:
        jobs = [await worker.soon() for _ in range(3)]
        batch = [_output(job, size) for job, size in zip(jobs, (10, MOST + 1, MOST), strict=True)]
        await _settled(worker, *batch)
        assert worker.source.totals.completed["orders"] == 2
    # At least once: what was on its way when the broker said what it takes is sent again.
    assert {len(it.body) for it in await taken(small.url, "good")} == {10, MOST}
    (letter,) = await taken(small.url, "orders.dead", 1)
    said = json.loads(letter.body)
    assert (said["original"], letter.headers["workerpool-reason"]) == (1, "error")
    assert f"'good': {MOST + 1} bytes" in said["error"]
    assert f"at most {MOST}; raise max_message_size" in said["error"]


async def test_a_dead_letter_that_is_too_large_is_the_job_as_it_came(
    small: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    payload = json.dumps("p" * (MOST - 2))
    await _enqueue(small, NewJob("1"), NewJob(payload, unique_key="k", headers='{"tenant": "acme"}'))
    async with consumer(small) as worker:
        jobs = [await worker.soon() for _ in range(2)]
        letters = [Settlement(job, DeadLetter(DeadReason.TERMINAL, "no such thing"), 0.1, "w") for job in jobs]
        await _settled(worker, *letters)
    letter = next(it for it in await taken(small.url, "orders.dead", 2) if it.body == payload.encode())
    assert letter.headers["x-death"][0]["reason"] == "rejected"
    assert letter.headers["workerpool-headers"] == '{"tenant": "acme"}'
    assert await depth(small, "orders") == 0
    dead = [it for it in await _records(small, "dead") if it["id"] == jobs[1].id]
    assert [(it["reason"], "payload" in it) for it in dead] == [("terminal", False)]
    assert "no such thing; the dead letter is the job as it came" in str(dead[0]["error"])
    assert f"Dead letter, as the job came: job {jobs[1].id} of orders" in caplog.text
    await _enqueue(small, NewJob("2", unique_key="k"))
    assert await depth(small, "orders") == 1


async def test_headers_that_fit_into_no_frame_are_kept_with_their_job(vhost: Vhost) -> None:
    """They came as a table, and as the text that they are in a retry they are twice as long."""
    async with consumer(vhost) as worker:
        connection = await aiormq.connect(vhost.url)
        given = aiormq.spec.Basic.Properties(headers={"quotes": '"' * 100_000})
        await (await connection.channel()).basic_publish(b"1", routing_key="orders", properties=given)
        await connection.close()
        await publish(vhost, "orders", b"2")
        jobs = [await worker.soon() for _ in range(2)]
        await _settled(worker, *(Settlement(job, Retry(0, "not now"), 0.1, "w") for job in jobs))
        assert not worker.fenced
    (letter,) = await taken(vhost.url, "orders.dead", 1)
    assert (letter.body, len(letter.headers["quotes"])) == (b"1", 100_000)
    assert "frame_max" in str((await _records(vhost, "dead"))[0]["error"])


async def test_a_message_that_can_be_no_job_is_kept_even_when_its_dead_letter_is_too_large(small: Vhost) -> None:
    body = b"\xff" * MOST
    async with consumer(small) as worker:
        await publish(small, "orders", body, b"1")
        assert (await worker.soon()).payload == "1"

        async def buried() -> bool:
            with suppress(SourceUnavailable):
                await worker.source.claim({"orders": 1})
            return await depth(small, "orders.dead") == 1

        await eventually(buried, "the dead letter")
    assert [it.body for it in await taken(small.url, "orders.dead", 1)] == [body]


async def test_a_job_that_is_too_large_is_refused_where_it_is_enqueued(small: Vhost) -> None:
    publisher = RabbitmqPublisher(Endpoint(small.url))
    for _ in range(2):
        with pytest.raises(PayloadError, match=rf"{MOST + 1} bytes, .* at most {MOST}"):
            await publisher.enqueue("orders", [NewJob(json.dumps("x" * (MOST - 1)))])
    await publisher.enqueue("orders", [NewJob(json.dumps("x" * (MOST - 2)))])
    await publisher.close()
    assert await depth(small, "orders") == 1


async def test_a_queue_that_would_drop_what_is_rejected_is_known(vhost: Vhost) -> None:
    arguments: dict[str, object] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "keeps.dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    connection = await aiormq.connect(vhost.url)
    channel = await connection.channel()
    await channel.queue_declare("keeps", durable=True, arguments=arguments)  # type: ignore[arg-type]  # only str
    await channel.queue_declare("drops", durable=True, arguments={"x-queue-type": "quorum"})
    await connection.close()
    async with consumer(vhost) as worker:
        link = worker.source._must_parts().link
        assert [await is_kept(link, queue, queue) for queue in ("orders", "keeps", "drops")] == [True, True, False]
