"""What a broker will never take, because it is too large, holds up nobody and is lost by nobody."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass

import aiormq
import pytest

from tests.integration.rabbitmq.sources import Consumer, consumer, depth, patient_goodbyes, publish
from tests.integration.rabbitmq.test_refusals import queue, settling
from tests.support.linked import linked
from tests.support.rabbitmq import Broker, Vhost
from tests.support.rabbitqueues import taken
from tests.support.waiting import eventually
from workerpool.errors import PayloadError, SourceUnavailable
from workerpool.outcome import SUCCEEDED, DeadLetter, DeadReason, Output, Retry, Succeeded
from workerpool.sources.administration import DeadFilter
from workerpool.sources.base import Job, NewJob, Settlement
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool_contract.rabbitmq import HISTORY

pytestmark = pytest.mark.rabbitmq

MOST = 20_000
"""Bytes of a message that the broker of these tests takes."""
LIMIT = "application:get_env(rabbit, max_message_size)."


@pytest.fixture
def small(rabbitmq_broker: Broker, vhost: Vhost) -> Iterator[Vhost]:
    """A virtual host of a broker that takes small messages only."""
    found = re.search(r"\d+", rabbitmq_broker.ctl("eval", LIMIT))
    assert found is not None
    _takes(rabbitmq_broker, MOST)
    yield vhost
    _takes(rabbitmq_broker, int(found[0]))


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


async def _looked(worker: Consumer) -> None:
    """An idle runner has asked for jobs; the broker answers a message that is too large by ending its channel."""
    with suppress(SourceUnavailable):
        assert await worker.source.claim({"orders": 1}) == []
    await worker.source.wait(0.01)


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
    """Whatever queue it was in, and whether that of the dead letters is there."""
    await queue(small, "orders", {"x-max-length": 100})
    payload = json.dumps("p" * (MOST - 2))
    await _enqueue(small, NewJob("1"), NewJob(payload, unique_key="k", headers='{"tenant": "acme"}'))
    async with consumer(small) as worker:
        jobs = [await worker.soon() for _ in range(2)]
        small.api("DELETE", "queues/{}/orders.dead")
        letters = [Settlement(job, DeadLetter(DeadReason.TERMINAL, "none \udc80"), 0.1, "w") for job in jobs]
        await _settled(worker, *letters)
        assert worker.source.totals.failed["orders"] == 2
    async with RabbitmqAdmin(Endpoint(small.url)) as admin:
        found = next(it for it in await admin.dead(DeadFilter("orders")) if it.id == jobs[1].id)
        assert (found.reason, found.error, found.worker, found.headers) == (
            "terminal",
            "none ?",
            "w",
            '{"tenant": "acme"}',
        )
        assert found.payload == payload
        (record,) = [it for it in await _records(small, "dead") if it["id"] == found.id]
        assert (record["reason"], record["error"]) == ("terminal", "none \udc80")
        assert f"Dead letter, as it came: job {found.id} of orders" in caplog.text
        assert await depth(small, "orders") == 0
        assert await admin.redrive(DeadFilter("orders", ids=(found.id,))) == 1
    (again,) = await taken(small.url, "orders", 1)
    assert again.body == payload.encode()
    await _enqueue(small, NewJob("2", unique_key="k"))
    assert await depth(small, "orders") == 2


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
    await queue(small, "orders")
    body = b"\xff" * MOST
    async with consumer(small) as worker:
        await publish(small, "orders", body, b"1")
        assert (await worker.soon()).payload == "1"

        async def buried() -> bool:
            await _looked(worker)
            return await depth(small, "orders.dead") == 1

        await eventually(buried, "the dead letter")
    assert [it.body for it in await taken(small.url, "orders.dead", 1)] == [body]


@dataclass(frozen=True)
class Stuck:
    """A runner that can make no dead letters of what it took."""

    worker: Consumer
    job: Job
    bodies: list[bytes]

    async def idle(self) -> bool:
        await _looked(self.worker)
        report = self.worker.source._report()
        return (report.busy, report.held, report.queues) == (0, {}, ("orders",))


@pytest.fixture
async def stuck(small: Vhost, rabbitmq_broker: Broker) -> AsyncIterator[Stuck]:
    """More of it than a consumer may hold, in a queue of another program, since the broker takes less than before."""
    await queue(small, "orders")
    bodies = [json.dumps("p" * (MOST - 2)).encode(), *(b"\xff" * (MOST - number) for number in range(8))]
    await _enqueue(small, NewJob(bodies[0].decode(), unique_key="k"))
    await publish(small, "orders", *bodies[1:])
    _takes(rabbitmq_broker, MOST // 2)
    async with consumer(small, slots=2) as worker:
        job = await worker.soon()
        await _settled(worker, Settlement(job, DeadLetter(DeadReason.TERMINAL, "no such thing"), 0.1, "w"))
        yield Stuck(worker, job, bodies)


async def test_what_the_broker_takes_no_more_is_in_nobodys_way(stuck: Stuck, small: Vhost) -> None:
    for _ in range(2):
        await publish(small, "orders", b"1")
        await _settled(stuck.worker, Settlement(await stuck.worker.soon(), SUCCEEDED, 0.1, "w"))
    await eventually(stuck.idle, "a runner that holds nothing, and consumes")
    totals = stuck.worker.source.totals
    assert (totals.failed["orders"], totals.completed["orders"]) == (1, 2)


async def test_what_was_set_aside_is_dead_once_the_broker_takes_it(
    stuck: Stuck, small: Vhost, rabbitmq_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    source = stuck.worker.source
    assert source._upkeep is not None
    source._upkeep.aside = 0.0

    async def tried() -> bool:
        await _looked(stuck.worker)
        return "Some dead letters wait for the broker" in caplog.text

    await eventually(tried, "another try")
    told = [it.getMessage() for phase in ("setup", "call") for it in caplog.get_records(phase)]
    (once,) = [it for it in told if "Set aside" in it and f"job {stuck.job.id} of orders" in it]
    assert f"{MOST} bytes, and this broker takes at most {MOST // 2}; raise max_message_size" in once
    assert await _records(small, "dead") == []
    _takes(rabbitmq_broker, MOST)

    async def buried() -> bool:
        await _looked(stuck.worker)
        return await depth(small, "orders.dead") == len(stuck.bodies)

    await eventually(buried, "the dead letters")
    letters = await taken(small.url, "orders.dead", len(stuck.bodies))
    assert {it.body for it in letters} == set(stuck.bodies)
    (letter,) = [it.headers for it in letters if it.body == stuck.bodies[0]]
    assert (letter["workerpool-reason"], letter["workerpool-error"]) == ("terminal", "no such thing")
    assert len(await _records(small, "dead")) == len(stuck.bodies)
    await _enqueue(small, NewJob("3", unique_key="k"))
    assert (stuck.worker.fenced, source.totals.failed["orders"]) == ([], 1)


async def test_what_is_set_aside_goes_back_when_its_runner_stops(small: Vhost, rabbitmq_broker: Broker) -> None:
    await _enqueue(small, NewJob(json.dumps("p" * (MOST - 2))))
    _takes(rabbitmq_broker, MOST // 2)
    async with consumer(small) as worker:
        job = await worker.soon()
        await _settled(worker, Settlement(job, DeadLetter(DeadReason.TERMINAL, "no such thing"), 0.1, "w"))
        with patient_goodbyes():
            await worker.source.retire()

        async def back() -> bool:
            return await depth(small, "orders") == 1

        await eventually(back, "the job")
    async with consumer(small) as worker:
        # Its first delivery ended harmlessly.
        assert (await worker.soon()).crashes == 0


async def test_a_job_that_is_too_large_is_refused_where_it_is_enqueued(small: Vhost) -> None:
    publisher = RabbitmqPublisher(Endpoint(small.url))
    for _ in range(2):
        with pytest.raises(PayloadError, match=rf"{MOST + 1} bytes, .* at most {MOST}"):
            await publisher.enqueue("orders", [NewJob(json.dumps("x" * (MOST - 1)))])
    await publisher.enqueue("orders", [NewJob(json.dumps("x" * (MOST - 2)))])
    await publisher.close()
    assert await depth(small, "orders") == 1
