"""Jobs on a real broker, looked at and changed from outside: where they are, and that looking costs them nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.rabbitstand import Stand, stand
from tests.support.waiting import eventually
from workerpool.errors import ConfigError, SourceError
from workerpool.sources.administration import JobState
from workerpool.sources.base import Job, NewJob, Subscription
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import Envelope, copy_id, encode
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.source import Identity, RabbitmqSource

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def place(vhost: Vhost) -> AsyncIterator[Stand]:
    async with stand(vhost.url) as made:
        yield made


@pytest.fixture
async def admin(place: Stand) -> AsyncIterator[RabbitmqAdmin]:
    async with RabbitmqAdmin(Endpoint(place.url)) as opened:
        yield opened


@pytest.fixture
async def runner(place: Stand) -> AsyncIterator[RabbitmqSource]:
    """A runner on the queue orders that has taken nothing yet."""
    source = RabbitmqSource(Endpoint(place.url), Identity(uuid4(), "r"), 5)
    await source.open([Subscription("orders", "orders")], list)
    yield source
    await source.close()


async def test_every_state_that_a_broker_shows_is_listed(place: Stand) -> None:
    done = await place.finish("orders", "completed", result='{"ok": true}')
    [dead] = await place.bury("orders", 1)
    low, ready, high, later, soon = await place.send(
        "orders",
        NewJob("1", priority=-1), NewJob("2"), NewJob("3", priority=7), NewJob("4", delay=900), NewJob("5", delay=90),
    )  # fmt: skip
    await place.send("mails", NewJob("6"))
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        rows = await admin.jobs("orders", None, 50)
        assert [(it.id, it.state.value) for it in rows] == [
            (high, "ready"), (ready, "ready"), (low, "ready"), (soon, "delayed"), (later, "delayed"), (dead, "dead"),
        ]  # fmt: skip
        assert [it.id for it in await admin.jobs(None, JobState.DELAYED, 1)] == [soon]
        assert [(it.id, it.state) for it in await admin.jobs(None, JobState.COMPLETED, 9)] == [(done, "completed")]
        assert len(await admin.jobs(None, JobState.READY, 9)) == 4
        assert await admin.jobs(None, JobState.EXPIRED, 9) == []
        for state in (JobState.IN_FLIGHT,):
            with pytest.raises(ConfigError, match="in-flight can't be listed"):
                await admin.jobs(None, state, 9)


async def test_looked_at_again_and_again_a_job_stays_first_and_is_charged_nothing(
    vhost: Vhost, place: Stand, runner: RabbitmqSource
) -> None:
    ids = await place.send("orders", *(NewJob(str(n)) for n in range(4)))
    async with RabbitmqAdmin(Endpoint(place.url), management_url=vhost.management_url) as admin:
        for _ in range(5):
            assert [row.id for row in await admin.jobs("orders", JobState.READY, 2)] == ids[:2]
    jobs: list[Job] = []

    async def claimed() -> bool:
        jobs.extend(await runner.claim({"orders": 10}))
        return len(jobs) >= len(ids)

    await eventually(claimed, "all jobs are claimed, those that the runner copied first too")
    assert {(job.id, job.crashes, job.attempts) for job in jobs} == {(id_, 0, 0) for id_ in ids}


async def test_looked_at_in_a_lane_a_job_keeps_the_time_that_it_is_due(place: Stand) -> None:
    """Where a return may count, a copy goes to the end of the same lane: a runner sends it on to its wait."""
    due = round(time.time() * 1000) + 86_400_000
    await place.subscribe("orders", "orders")
    job = Envelope("orders", 7, "1", due, priority=-2, due=due)
    await place.sender.send([Outgoing("", "orders.low", *encode(job))])
    await place.send("orders", NewJob("2"))
    async with RabbitmqAdmin(Endpoint(place.url, delivery_limit=3)) as admin:
        rows = await admin.jobs("orders", JobState.READY, 9)
        assert [it.queue for it in rows] == ["orders"] * 2
    lanes = await depths(place.url, "orders", "orders.high", "orders.low")
    assert lanes == {"orders": 1, "orders.high": 0, "orders.low": 1}
    (it,) = await taken(place.url, "orders.low")
    assert (it.headers["workerpool-due"], it.headers.get("x-delivery-count", 0), it.body) == (due, 0, b"1")


async def test_show_puts_together_what_is_known(place: Stand, admin: RabbitmqAdmin) -> None:
    done = await place.finish("orders", "completed", result='{"ok": true}')
    shown = await admin.show(done)
    assert shown is not None
    assert (shown.state, shown.result, shown.worker, shown.waited) == ("completed", '{"ok": true}', "notify", 0.5)
    assert [(it.state, it.progress, it.data) for it in shown.events] == [("fitting", 40, '{"fold": 2}')]
    assert [it.state for it in shown.runs] == ["completed"]
    [later] = await place.send("orders", NewJob("4", delay=90, unique_key="k", expires_in=99))
    shown = await admin.show(later)
    assert shown is not None
    assert (shown.state, shown.payload, shown.unique_key) == ("delayed", "4", "k")
    assert 89 < (shown.available_at - shown.enqueued_at).total_seconds() < 91
    [dead] = await place.bury("orders", 1)
    shown = await admin.show(dead)
    assert shown is not None
    assert (shown.state, shown.reason, shown.attempts) == ("dead", "error", 3)
    assert await admin.show(12345) is None


async def test_cancel_finds_a_job_in_a_lane_down_the_ladder_and_in_a_runner(
    place: Stand, admin: RabbitmqAdmin, runner: RabbitmqSource
) -> None:
    [held] = await place.send("orders", NewJob("1", unique_key="held"))
    [job] = await runner.claim({"orders": 1})
    cut: list[int] = []
    runner.on_cancelled(lambda jobs: cut.extend(job.id for job in jobs))
    change = await admin.cancel(held)
    assert (change.changed, change.before, change.note) == (
        True, "in-flight", "cancelled; its runner cuts the handler off",
    )  # fmt: skip
    assert cut == [job.id] == [held]
    ready, other, later = await place.send(
        "orders", NewJob("2", unique_key="ready", priority=2), NewJob("3"), NewJob("4", delay=60, unique_key="later")
    )
    assert [(it.changed, it.before) for it in (await admin.cancel(later), await admin.cancel(ready))] == [
        (True, "delayed"), (True, "ready"),
    ]  # fmt: skip
    assert {row.id for row in await admin.jobs("orders", JobState.CANCELLED, 9)} == {held, later, ready}
    again = await admin.cancel(ready)
    assert (again.changed, again.before, again.note) == (False, "cancelled", "it is cancelled already")
    fresh = await place.publisher.enqueue("orders", [NewJob("5", unique_key=it) for it in ("held", "ready", "later")])
    assert not any(it.duplicate for it in fresh)
    assert other in {job.id for job in await runner.claim({"orders": 10})}


async def test_cancel_leaves_what_is_over_and_knows_no_others(place: Stand, admin: RabbitmqAdmin) -> None:
    [dead] = await place.bury("orders", 1)
    done = await place.finish("orders", "completed")
    notes = [(it.changed, it.before, it.note) for it in [await admin.cancel(id_) for id_ in (dead, done, 999)]]
    assert notes[:2] == [
        (False, "dead", "it is dead: use `workerpool dlq drop`"), (False, "completed", "it is completed already"),
    ]  # fmt: skip
    assert notes[2][:2] == (False, None)
    assert "no trace of it" in notes[2][2]


async def test_retry_makes_waiting_dead_and_ended_jobs_ready(place: Stand, admin: RabbitmqAdmin) -> None:
    [later] = await place.send("orders", NewJob('"later"', delay=600, priority=-3, unique_key="k"))
    [dead] = await place.bury("orders", 1)
    cancelled = await place.finish("orders", "cancelled")
    done = await place.finish("orders", "completed")
    changes = [await admin.retry(id_) for id_ in (later, dead, cancelled, done, 999)]
    assert [(it.changed, it.before, it.note) for it in changes[:4]] == [
        (True, "delayed", "ready"), (True, "dead", "ready"), (True, "cancelled", "ready"),
        (False, "completed", "its payload was not kept"),
    ]  # fmt: skip
    assert (changes[4].changed, changes[4].before) == (False, None)
    [low] = await taken(place.url, "orders.low")
    assert (low.body, low.headers["workerpool-key"], "workerpool-due" in low.headers) == (b'"later"', "k", False)
    assert [it.headers["workerpool-id"] for it in await taken(place.url, "orders")] == [dead, cancelled]
    assert await depths(place.url, "workerpool.wait.5m", "orders.dead") == {"workerpool.wait.5m": 0, "orders.dead": 0}


async def test_an_id_means_every_copy_of_a_message_to_a_topic(place: Stand) -> None:
    await place.subscribe("orders", "orders@mail", "orders@stock")
    [id_] = await place.send("orders", NewJob("1", delay=60))
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        assert (await admin.cancel(id_)).changed
        assert (await admin.cancel(id_)).changed
        states = [(row.id, row.state) for row in await admin.jobs(None, JobState.CANCELLED, 9)]
        assert {it for it, _ in states} == {copy_id(id_, "orders@mail"), copy_id(id_, "orders@stock")}


async def test_topics_tell_who_is_subscribed_and_served_and_end_by_unsubscribe(
    place: Stand, runner: RabbitmqSource
) -> None:
    await place.subscribe("orders", "orders@mail")
    await place.send("orders", NewJob("1"), NewJob("2", priority=1))
    consuming = asyncio.create_task(runner.wait(0.2))
    await consuming
    async with RabbitmqAdmin(Endpoint(place.url)) as admin:
        rows = [(it.topic, it.queue, it.jobs, it.served) for it in await admin.topics()]
        assert rows == [("orders", "orders", 0, True), ("orders", "orders@mail", 2, False)]
        with pytest.raises(
            ConfigError, match="'orders@male' gets no copies of 'orders'; subscribed queues: orders, ord"
        ):
            await admin.unsubscribe("orders", "orders@male")
        with pytest.raises(SourceError, match="orders: a runner consumes this queue; stop it first"):
            await admin.unsubscribe("orders", "orders")
        assert (await admin.unsubscribe("orders", "orders@mail")).jobs == 2
        assert [it.queue for it in await admin.topics()] == ["orders"]
    await place.send("orders", NewJob("3"))
    assert (await depths(place.url, "orders@mail"))["orders@mail"] == 1
