"""What a broker doesn't take of a batch of outcomes holds up only what it belongs to, and repeats nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiormq
import pytest
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ChannelNotFoundEntity

from tests.integration.rabbitmq.sources import Consumer, consumer, depth
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.errors import SourceError, SourceUnavailable
from workerpool.outcome import SUCCEEDED, Output, Succeeded
from workerpool.settler import Settler
from workerpool.sources.base import Job, NewJob, PartlySettled, Settlement
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.keys import Keys, Request
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.streamlog import StreamLog

pytestmark = pytest.mark.rabbitmq


async def queue(vhost: Vhost, name: str, arguments: dict[str, Any] | None = None) -> None:
    connection = await aiormq.connect(vhost.url)
    channel = await connection.channel()
    await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})})
    await connection.close()


async def full_queue(vhost: Vhost, name: str) -> None:
    """A queue that takes nothing: its only place is taken."""
    await queue(vhost, name, {"x-max-length": 1, "x-overflow": "reject-publish"})
    connection = await aiormq.connect(vhost.url)
    channel = await connection.channel(publisher_confirms=True)

    async def refused() -> bool:
        try:
            await channel.basic_publish(b"{}", routing_key=name)
        except aiormq.exceptions.DeliveryError:
            return True
        return False

    await eventually(refused, "a queue that is full")
    await connection.close()


async def enqueue(vhost: Vhost, *jobs: NewJob) -> None:
    publisher = RabbitmqPublisher(Endpoint(vhost.url))
    await publisher.enqueue("orders", jobs)
    await publisher.close()


def made(job: Job, *topics: str) -> Settlement:
    """The job succeeded and has one output per topic."""
    outputs = tuple(Output(topic, f'"{job.payload} {number}"') for number, topic in enumerate(topics))
    return Settlement(job, Succeeded(None, outputs) if outputs else SUCCEEDED, 0.1, "w")


async def emptied(vhost: Vhost, name: str) -> None:
    vhost.api("DELETE", f"queues/{{}}/{name}/contents")


async def test_what_is_confirmed_is_published_once_however_often_the_rest_is_refused(vhost: Vhost) -> None:
    await queue(vhost, "good")
    await full_queue(vhost, "full")
    await enqueue(vhost, NewJob("1"), NewJob("2"), NewJob("3"))
    async with consumer(vhost) as worker:
        jobs = [await worker.soon() for _ in range(3)]
        # The third one's queue is to be declared first, which only its return tells.
        batch = [made(jobs[0], "good"), made(jobs[1], "good", "full"), made(jobs[2], "new")]
        with pytest.raises(PartlySettled) as refusal:
            await worker.source.settle(batch)
        assert list(refusal.value.refused) == batch[1:2]
        for _ in range(3):
            with pytest.raises(PartlySettled):
                await worker.source.settle(batch[1:2])
        assert (await depth(vhost, "good"), await depth(vhost, "new"), len(worker.source.holding.jobs)) == (2, 1, 1)
        assert (worker.source.totals.completed["orders"], worker.fenced) == (2, [])
        await emptied(vhost, "full")
        await settled(worker, batch[1:2])
        assert (await depth(vhost, "good"), await depth(vhost, "full")) == (2, 1)


async def settled(worker: Consumer, batch: Sequence[Settlement]) -> None:
    """Settles what was refused before, once the broker takes it."""

    async def taken() -> bool:
        try:
            return not await worker.source.settle(batch)
        except SourceUnavailable:
            return False

    await eventually(taken, "room")
    assert not worker.source.holding.jobs


@asynccontextmanager
async def settling(worker: Consumer) -> AsyncIterator[tuple[Settler, list[Settlement], list[Job]]]:
    """A running settler, and what it tells: outcomes that were taken, stale jobs."""
    done: list[Settlement] = []
    stale: list[Job] = []

    def told(settlements: Sequence[Settlement], gone: Sequence[Job]) -> None:
        done.extend(settlements)
        stale.extend(gone)

    settler = Settler(worker.source, told)
    task = asyncio.create_task(settler.run())
    try:
        yield settler, done, stale
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_full_queue_stops_neither_claims_nor_other_outcomes(vhost: Vhost) -> None:
    await queue(vhost, "good")
    await full_queue(vhost, "full")
    await enqueue(vhost, NewJob("1"), NewJob("2"), NewJob("3"))
    async with consumer(vhost) as worker, settling(worker) as (settler, done, stale):
        jobs = [await worker.soon() for _ in range(3)]
        settler.add(made(jobs[0], "full"))
        for job in jobs[1:]:
            settler.add(made(job, "good"))

            async def told(job: Job = job) -> bool:
                return any(it.job.id == job.id for it in done)

            await eventually(told, "the outcome of another job")
            assert not settler.congested
            assert jobs[0].id not in [it.job.id for it in done]
        await emptied(vhost, "full")
        async with asyncio.timeout(45):
            await settler.drained()
        assert ([it.job.id for it in done][-1], len(done), stale) == (jobs[0].id, 3, [])
        assert (await depth(vhost, "good"), await depth(vhost, "full")) == (2, 1)


async def test_of_copies_too_only_the_refused_are_sent_again(vhost: Vhost) -> None:
    await queue(vhost, "good")
    await enqueue(vhost, NewJob("1"), NewJob("2"))
    async with consumer(vhost) as worker:
        jobs = [await worker.soon() for _ in range(2)]
        await full_queue(vhost, "full")
        parts = worker.source._parts
        assert parts is not None
        plans = [made(job, topic) for job, topic in zip(jobs, ("good", "full"), strict=True)]
        copies = [made_copy(it) for it in plans]
        for _ in range(3):
            with pytest.raises(SourceUnavailable):
                await parts.settling.replace([job.handle for job in jobs], copies)
        assert (await depth(vhost, "good"), len(worker.source.holding.jobs)) == (1, 1)


def made_copy(it: Settlement) -> Outgoing:
    assert isinstance(it.outcome, Succeeded)
    return Outgoing("", it.outcome.outputs[0].topic, b"{}", {})


@pytest.mark.parametrize("refusal", [ChannelNotFoundEntity, ChannelLockedResource, ChannelAccessRefused])
async def test_a_key_that_can_not_be_freed_does_not_hold_up_its_job(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch, refusal: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """A classic queue on a node that is down answers 404; no dead letter for a job that succeeded."""

    async def away(_keys: Keys, name: str, _request: Request) -> int | None:
        raise refusal(f"NOT_FOUND - queue '{name}' process is stopped by supervisor")

    await enqueue(vhost, NewJob("1", unique_key="k"))
    async with consumer(vhost) as worker:
        job = await worker.soon()
        monkeypatch.setattr(Keys, "_holder", away)
        assert await worker.source.settle([made(job)]) == []
        assert not worker.source.holding.jobs
        assert "stays until it expires" in caplog.text
    assert (await depth(vhost, "orders"), await depth(vhost, "orders.dead")) == (0, 0)


async def test_a_history_that_can_not_be_written_makes_outcomes_wait(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_log: StreamLog, _records: Sequence[object]) -> None:
        raise ChannelNotFoundEntity("NOT_FOUND")

    await queue(vhost, "good")
    await enqueue(vhost, NewJob("1"))
    async with consumer(vhost) as worker:
        job = await worker.soon()
        with monkeypatch.context() as patched:
            patched.setattr(StreamLog, "append", refused)
            for _ in range(2):
                with pytest.raises(SourceUnavailable):
                    await worker.source.settle([made(job, "good")])
        assert await worker.source.settle([made(job, "good")]) == []
        assert (await depth(vhost, "good"), await depth(vhost, "orders.dead")) == (1, 0)


async def test_marks_that_are_locked_are_an_error_that_claims_survive(vhost: Vhost) -> None:
    other = await aiormq.connect(vhost.url)
    await (await other.channel()).queue_declare("locked", exclusive=True)
    async with consumer(vhost) as worker:
        parts = worker.source._parts
        assert parts is not None
        with pytest.raises(SourceError, match="locked"):
            await StreamLog(parts.link, parts.sender, "locked").read()
    await other.close()


async def test_only_an_output_that_no_broker_could_take_makes_a_dead_letter(vhost: Vhost) -> None:
    await queue(vhost, "good")
    await enqueue(vhost, NewJob("1"), NewJob("2"))
    async with consumer(vhost) as worker, settling(worker) as (settler, done, stale):
        jobs = [await worker.soon() for _ in range(2)]
        settler.add(made(jobs[0], "good"))
        settler.add(made(jobs[1], "x" * 254))
        async with asyncio.timeout(45):
            await settler.drained()
        assert (len(done), stale, worker.source.holding.jobs) == (2, [], {})
    assert (await depth(vhost, "good"), await depth(vhost, "orders.dead")) == (1, 1)


async def test_an_output_that_this_user_may_not_declare_waits_until_it_may(vhost: Vhost) -> None:
    await enqueue(vhost, NewJob("1"))
    async with consumer(vhost) as worker, settling(worker) as (settler, done, stale):
        job = await worker.soon()
        rights = {"configure": "^(?!forbidden)", "write": ".*", "read": ".*"}
        user = f"permissions/{{}}/{vhost.user}"
        vhost.api("PUT", user, rights)
        with pytest.raises(PartlySettled, match="forbidden"):
            await worker.source.settle([made(job, "forbidden")])
        settler.add(made(job, "forbidden"))
        vhost.api("PUT", user, {**rights, "configure": ".*"})
        async with asyncio.timeout(45):
            await settler.drained()
        assert (len(done), stale) == (1, [])
    assert (await depth(vhost, "forbidden"), await depth(vhost, "orders.dead")) == (1, 0)
