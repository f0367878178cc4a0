"""A runner's own source and the reader agree on who holds what, without any page of the broker."""

import asyncio
from uuid import uuid4

import pytest

from tests.support.backlog_stage import endpoint_of, staged
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Settlement, Subscription
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.source import Identity, RabbitmqSource

pytestmark = pytest.mark.rabbitmq


async def test_what_a_runner_holds_is_known_from_its_first_to_its_last_job(vhost: Vhost) -> None:
    async with staged(vhost, endpoint_of(vhost, management=False, prometheus=False)) as stage:
        source = RabbitmqSource(Endpoint(vhost.url), Identity(uuid4(), "pod-7"), slots=2)
        await stage.client.publish("q", 3)
        await source.open([Subscription("q", "q")], list)
        jobs = await source.claim({"q": 2})
        await stage.until(lambda it: (it.ready, it.in_flight, it.in_flight_unknown) == (1, 2, ""))
        waiting = asyncio.create_task(source.wait(30))
        await stage.until(lambda it: (it.ready, it.in_flight, it.in_flight_unknown) == (0, 3, ""))
        reports = await stage.reader.runners(["q"])
        assert isinstance(reports, dict)
        assert [(it.name, it.slots, it.busy) for it in reports["q"]] == [("pod-7", 2, 2)]
        await waiting
        jobs += await source.claim({"q": 1})
        await source.settle([Settlement(job, SUCCEEDED, 0.1, "notify") for job in jobs])
        after = await stage.until(lambda it: it.completed == 3)
        assert (after.ready, after.in_flight, after.in_flight_unknown) == (0, 0, "")
        await source.close()

        async def forgotten() -> bool:
            return await stage.heard() == []

        await eventually(forgotten, "the runner is gone")


async def test_attempts_of_a_runner_of_two_queues_count_for_the_queue_of_each(vhost: Vhost) -> None:
    async with staged(vhost, endpoint_of(vhost, management=False, prometheus=False)) as stage:
        source = RabbitmqSource(Endpoint(vhost.url), Identity(uuid4(), "pod-7"), slots=4)
        for queue, count in (("p", 1), ("q", 3)):
            await stage.client.declare(queue)
            await stage.client.publish(queue, count)
        await source.open([Subscription(queue, queue) for queue in ("p", "q")], list)
        jobs = await source.claim({"p": 1, "q": 3})
        await stage.until(lambda it: it.in_flight == 3)
        await source.settle([Settlement(job, SUCCEEDED, 0.1, "notify") for job in jobs])
        await stage.until(lambda it: it.completed == 3)
        await stage.until(lambda it: it.completed == 1, "p")
        await source.close()
