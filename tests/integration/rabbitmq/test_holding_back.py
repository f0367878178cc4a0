"""A runner that is busy, or that the broker takes nothing from, keeps its jobs and keeps nobody else's."""

import time
from contextlib import suppress

import pytest

from tests.integration.rabbitmq.sources import Consumer, consumer, depth, publish
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import taken
from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import NewJob, Settlement
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import Envelope, encode
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.parts import Parts
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool.sources.rabbitmq.upkeep import ASKED, LONGEST_HELD, UNASKED, Upkeep

pytestmark = pytest.mark.rabbitmq

PREFETCH = 6
"""Of a source with four slots."""


def insides(worker: Consumer) -> tuple[Upkeep, Parts]:
    upkeep = worker.source._upkeep
    assert upkeep is not None
    return upkeep, worker.source._must_parts()


async def watched(upkeep: Upkeep) -> None:
    """The watchdog looks some times, at once."""
    upkeep.silence = 0.0
    for _ in range(3):
        await upkeep._watching()


async def arrived(parts: Parts, count: int, queue: str = "orders") -> None:
    async def there() -> bool:
        return parts.holding.unsettled[queue] >= count

    await eventually(there, f"{count} deliveries of {queue}")


def let_pass(upkeep: Upkeep, seconds: float) -> None:
    """As if this much time had passed since."""
    clock = upkeep.clock
    upkeep.clock = lambda: clock() + seconds


async def test_an_idle_worker_beside_one_with_full_slots_is_not_deaf(vhost: Vhost) -> None:
    """The jobs that wait are those of the other one; a new channel would cost it all that it runs."""
    async with consumer(vhost, "orders", "parcels") as worker:
        await worker.source.wait(0)
        await publish(vhost, "orders", *[b"1"] * 20)
        jobs = [await worker.soon() for _ in range(2)]
        upkeep, parts = insides(worker)
        await arrived(parts, PREFETCH)
        epoch = parts.link.epoch
        assert await worker.source.claim({"parcels": 2}) == []
        await watched(upkeep)
        assert await worker.source.claim({"orders": 10, "parcels": 2})
        await watched(upkeep)
        assert (parts.link.epoch, worker.fenced, worker.source.deaf) == (epoch, [], False)
        assert await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w") for job in jobs]) == []


async def test_a_runner_that_asks_for_nothing_is_not_deaf(vhost: Vhost) -> None:
    """It asks for nothing when its slots are full, or when the broker takes none of its outcomes."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        upkeep, parts = insides(worker)
        assert await worker.source.claim({"orders": 4}) == []
        for label in list(parts.link.consumers()):
            parts.link.consumers()[label] = lambda _message: None
        await publish(vhost, "orders", *[b"1"] * 20)

        async def waiting() -> bool:
            return await depth(vhost, "orders") > 0

        await eventually(waiting, "jobs that were not delivered")
        epoch = parts.link.epoch
        let_pass(upkeep, ASKED + 1)
        await watched(upkeep)
        assert parts.link.epoch == epoch

        async def replaced() -> bool:
            # A claim counts as asking for a few seconds only.
            if parts.link.epoch == epoch:
                with suppress(SourceUnavailable):
                    await worker.source.claim({"orders": 4})
                    await watched(upkeep)
            return parts.link.epoch > epoch

        await eventually(replaced, "another channel")


async def test_a_busy_runner_sends_on_what_is_not_due(vhost: Vhost) -> None:
    """Else it waits behind jobs that may run for hours while others are idle."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        await publish(vhost, "orders", b"1")
        job = await worker.soon()
        upkeep, parts = insides(worker)
        due = round(time.time() * 1000) + 86_400_000
        let_pass(upkeep, UNASKED + 1)
        # Straight into the lane, as after a step of the ladder.
        await parts.sender.send([Outgoing("", "orders", *encode(Envelope("orders", 7, "2", due, due=due)))])
        (it,) = await taken(vhost.url, "workerpool.wait.6h", 1)
        assert (it.body, it.headers["workerpool-due"]) == (b"2", due)

        async def gone() -> bool:
            return parts.holding.unsettled["orders"] == 1

        await eventually(gone, "the acknowledgement of what was sent on")
        assert await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")]) == []


async def test_what_can_not_be_given_back_stays_claimable(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the broker is short of memory: in no list, it would be lost to everybody until the channel ends."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        publisher = RabbitmqPublisher(Endpoint(vhost.url))
        await publisher.enqueue("orders", [NewJob("1"), NewJob("2")])
        await publisher.close()
        await publish(vhost, "orders", b"3")
        upkeep, parts = insides(worker)
        await arrived(parts, 3)
        with monkeypatch.context() as alarm:
            alarm.setattr(Link, "blocked", property(lambda _self: True))
            let_pass(upkeep, LONGEST_HELD + 1)
            with pytest.raises(SourceUnavailable, match="short of memory"):
                await upkeep._returning()
            let_pass(upkeep, -LONGEST_HELD - 1)
        assert sorted([(await worker.soon()).payload for _ in range(3)]) == ["1", "2", "3"]
