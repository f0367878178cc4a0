"""Messages with properties that no client library reads: they cost nobody a job, and no connection."""

import json
import struct
from typing import Final

import aiormq
import pytest
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import commands, frame

from tests.integration.rabbitmq.sources import Consumer, consumer, depth
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.outcome import SUCCEEDED, Retry
from workerpool.sources.base import Job, Settlement
from workerpool.sources.rabbitmq.basicproperties import DEEPEST

pytestmark = pytest.mark.rabbitmq

NAME: Final = b"\x02\xff\xe9l" + struct.pack(">q", 1)
"""A header whose name is not UTF-8."""
TIME: Final = b"\x04sentT" + struct.pack(">Q", 1_795_363_852_929_000)
"""A time in microseconds: beyond the calendar."""
TEXT: Final = b"\x04nameS" + struct.pack(">I", 2) + b"J\xfc"
"""A text that is not UTF-8."""
KEY: Final = b"\xfc\xe9"
"""A routing key that is not UTF-8."""


def deep() -> bytes:
    """Tables within tables, far more than anybody reads."""
    table = b""
    for _ in range(DEEPEST * 20):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


async def publish_odd(vhost: Vhost, *tables: bytes, key: bytes = b"") -> None:
    """A message to "orders" with each of these header tables; by an exchange that doesn't look at ``key``."""
    connection = await aiormq.connect(vhost.url)
    try:
        channel = await connection.channel(publisher_confirms=False)
        assert isinstance(channel, Channel)
        await channel.exchange_declare("foreign", exchange_type="fanout")
        await channel.queue_bind("orders", "foreign")
        announced = frame.marshal(
            commands.Basic.Publish(exchange="foreign", routing_key="X" * len(key)), channel.number
        )
        for number, table in enumerate(tables):
            payload = b'{"n":%d}' % number
            header = struct.pack(">HHQHI", 60, 0, len(payload), 1 << 13, len(table)) + table
            frames = announced.replace(b"X" * len(key), key) if key else announced
            for kind, content in ((2, header), (3, payload)):
                frames += struct.pack(">BHI", kind, channel.number, len(content)) + content + b"\xce"
            await channel.write_queue.put(ChannelFrame(payload=frames, should_close=False))
        # Answered once everything before it was taken.
        await channel.queue_declare("orders", passive=True)
    finally:
        await connection.close()


def epoch(worker: Consumer) -> int:
    return worker.source._must_parts().link.epoch


async def settle(worker: Consumer, job: Job) -> None:
    assert await worker.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")]) == []


async def test_consumers_take_messages_with_odd_properties(vhost: Vhost) -> None:
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        await publish_odd(vhost, NAME, TIME, TEXT)
        await publish_odd(vhost, NAME + TEXT, key=KEY)
        jobs = [await worker.soon() for _ in range(4)]
        assert [json.loads(job.headers or "") for job in jobs] == [
            {"\ufffd\ufffd": 1},
            {"sent": 1_795_363_852_929_000},
            {"name": "J\ufffd"},
            {"\ufffd\ufffd": 1, "name": "J\ufffd"},
        ]
        for job in jobs:
            await settle(worker, job)
        assert (epoch(worker), worker.fenced) == (1, [])
    assert await depth(vhost, "orders") == 0


async def test_messages_taken_one_by_one_may_have_odd_properties(vhost: Vhost) -> None:
    async with consumer(vhost) as worker:
        await worker.source.claim({"orders": 1})
        await publish_odd(vhost, NAME, TIME, TEXT, deep())
        await publish_odd(vhost, NAME + TEXT, key=KEY)
        jobs: list[Job] = []

        async def all_there() -> bool:
            jobs.extend(await worker.source.claim({"orders": 8}))
            return len(jobs) == 4

        await eventually(all_there, "the jobs that can be read")
        assert [json.loads(job.payload)["n"] for job in jobs] == [0, 1, 2, 0]
        for job in jobs:
            await settle(worker, job)
        assert (epoch(worker), worker.fenced) == (1, [])
    assert await depth(vhost, "orders") == 0
    assert await depth(vhost, "orders.dead") == 1


async def test_headers_that_nobody_reads_become_a_dead_letter(vhost: Vhost) -> None:
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        await publish_odd(vhost, deep(), NAME)
        await settle(worker, await worker.soon())

        async def buried() -> bool:
            await worker.source.claim({"orders": 1})
            return await depth(vhost, "orders.dead") == 1

        await eventually(buried, "a dead letter")
        assert (epoch(worker), worker.fenced) == (1, [])


async def test_a_job_with_a_header_that_is_not_utf_8_can_be_tried_again(vhost: Vhost) -> None:
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        await publish_odd(vhost, TEXT)
        job = await worker.soon()
        assert await worker.source.settle([Settlement(job, Retry(0, "again"), 0.1, "w")]) == []
        again = await worker.soon()
        assert (again.attempts, again.headers) == (1, '{"name": "J\ufffd"}')
        await settle(worker, again)
    assert await depth(vhost, "orders") == 0


async def test_a_job_with_a_header_that_is_not_utf_8_survives_a_crash(vhost: Vhost) -> None:
    """It is foreign, so it is copied when it comes again."""
    async with consumer(vhost) as worker:
        await worker.source.wait(0)
        await publish_odd(vhost, TEXT)
        await worker.soon()
        worker.source._must_parts().link.reset("a crash")
        again = await worker.soon()
        assert (again.crashes, again.headers) == (1, '{"name": "J\ufffd"}')
        await settle(worker, again)
    assert await depth(vhost, "orders") == 0
