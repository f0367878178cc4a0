"""Topics and groups: every group gets every message, the members of a group share them."""

from tests.conformance.engine import Stage
from workerpool.outcome import Output, Succeeded
from workerpool.sources.base import NewJob, Subscription

MAIL = Subscription("orders", "orders@mail")
STOCK = Subscription("orders", "orders@stock")


async def test_without_a_subscriber_a_message_lands_in_the_queue_of_that_name(stage: Stage) -> None:
    await stage.send("orders", "1")
    assert (await stage.engine.backlog("orders")).ready == 1
    await (await stage.consumer()).one()


async def test_each_group_gets_every_message(stage: Stage) -> None:
    mail, stock = await stage.consumer(MAIL), await stage.consumer(STOCK)
    sent = await stage.send("orders", "1", "2")
    assert len(sent) == 2
    assert [job.payload for job in await mail.claim(MAIL.queue)] == ["1", "2"]
    assert [job.payload for job in await stock.claim(STOCK.queue)] == ["1", "2"]
    assert (await stage.engine.backlog("orders")).ready == 0


async def test_members_of_a_group_share(stage: Stage) -> None:
    first, second = await stage.consumer(MAIL), await stage.consumer(MAIL)
    await stage.send("orders", "1", "2", "3")
    taken = [*await first.claim(MAIL.queue, 2), *await second.claim(MAIL.queue, 2)]
    assert [job.payload for job in taken] == ["1", "2", "3"]


async def test_options_hold_for_every_copy(stage: Stage) -> None:
    mail, stock = await stage.consumer(MAIL), await stage.consumer(STOCK)
    job = NewJob("1", priority=5, delay=60, unique_key="k", headers='{"h": 1}', expires_in=500)
    await stage.send("orders", job)
    assert [it.duplicate for it in await stage.send("orders", job)] == [True]
    assert await mail.claim(MAIL.queue) == []
    await stage.engine.advance(61)
    for consumer, queue in ((mail, MAIL.queue), (stock, STOCK.queue)):
        copy = await consumer.soon(queue)
        assert (copy.payload, copy.priority, copy.headers) == ("1", 5, '{"h": 1}')


async def test_a_key_that_one_group_still_holds_does_not_keep_the_message_from_the_others(stage: Stage) -> None:
    mail, stock = await stage.consumer(MAIL), await stage.consumer(STOCK)
    await stage.send("orders", NewJob("1", unique_key="k"))
    await stock.settle(await stock.one(STOCK.queue))
    await stage.send("orders", NewJob("2", unique_key="k"))
    assert [job.payload for job in await mail.claim(MAIL.queue)] == ["1"]
    assert [job.payload for job in await stock.claim(STOCK.queue)] == ["2"]


async def test_outputs_reach_every_group(stage: Stage) -> None:
    mail, stock = await stage.consumer(MAIL), await stage.consumer(STOCK)
    source = await stage.consumer("raw")
    await stage.send("raw", "1")
    await source.settle(await source.one("raw"), Succeeded("2", (Output("orders", "2"),)))
    assert (await mail.one(MAIL.queue)).payload == "2"
    assert (await stock.one(STOCK.queue)).payload == "2"


async def test_a_subscription_outlives_its_consumer(stage: Stage) -> None:
    mail = await stage.consumer(MAIL)
    await mail.source.close()
    await stage.send("orders", "1")
    assert (await stage.engine.backlog(MAIL.queue)).ready == 1
