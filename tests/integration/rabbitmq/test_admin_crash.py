"""A redrive that is killed leaves a job twice at worst, never not at all."""

import asyncio
import os
import sys

import pytest

from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.rabbitstand import stand
from tests.support.waiting import eventually
from workerpool.sources.administration import DeadFilter
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.endpoint import Endpoint

pytestmark = [pytest.mark.rabbitmq, pytest.mark.crash]

REDRIVE = """
import asyncio, os, sys
from workerpool.sources.administration import DeadFilter
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.admin_desk import Desk
from workerpool.sources.rabbitmq.browsing import Browser
from workerpool.sources.rabbitmq.endpoint import Endpoint

async def stop(*_):
    print("here", flush=True)
    await asyncio.Event().wait()

if sys.argv[1] == "before the copies":
    Desk.send = stop
else:
    Browser.acknowledge = stop

async def main():
    async with RabbitmqAdmin(Endpoint(os.environ["WORKERPOOL_URL"])) as admin:
        await admin.redrive(DeadFilter("orders"))

asyncio.run(main())
"""


@pytest.mark.parametrize(("moment", "copies"), [("before the copies", 1), ("before the acknowledgements", 2)])
async def test_killed_in_the_midst_of_a_redrive(vhost: Vhost, moment: str, copies: int) -> None:
    async with stand(vhost.url) as place:
        ids = await place.bury("orders", 20)
        environ = os.environ | {"WORKERPOOL_URL": vhost.url}
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-c", REDRIVE, moment, env=environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert killed.stdout is not None
            assert await killed.stdout.readline() == b"here\n"
        finally:
            killed.kill()
            await killed.wait()

        async def returned() -> bool:
            return (await depths(vhost.url, "orders.dead"))["orders.dead"] == len(ids)

        await eventually(returned, "the broker has the dead letters back")
        assert (await depths(vhost.url, "orders"))["orders"] == len(ids) * (copies - 1)
        async with RabbitmqAdmin(Endpoint(vhost.url)) as admin:
            assert await admin.redrive(DeadFilter("orders")) == len(ids)
        jobs = await taken(vhost.url, "orders")
        assert [it.headers["workerpool-id"] for it in jobs] == ids * copies
        assert {it.body for it in jobs} == {b'{"n": %d}' % n for n in range(20)}
        assert (await depths(vhost.url, "orders.dead"))["orders.dead"] == 0
