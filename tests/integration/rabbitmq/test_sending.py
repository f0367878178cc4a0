"""Publishing: what ``send`` returns for is on the broker, and what isn't is said."""

import asyncio
from collections import Counter

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from workerpool.errors import PayloadError, SourceUnavailable
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing, Refused, Unroutable
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import Arguments, work_arguments

pytestmark = pytest.mark.rabbitmq


async def test_many_messages_of_all_sizes_arrive_once_and_in_order(vhost: Vhost) -> None:
    bodies = [str(number).encode() * (1 + number % 7) for number in range(1200)] + [b"", b"x" * 3_000_000]
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        await Sender(watched.link).send([_message("jobs", body) for body in bodies])
        assert await _bodies(watched.link, "jobs") == bodies


async def test_concurrent_senders_share_the_channel(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        sender = Sender(watched.link)
        async with asyncio.TaskGroup() as group:
            for caller in range(20):
                messages = [_message("jobs", f"{caller}-{number}".encode()) for number in range(30)]
                group.create_task(sender.send(messages))
        found = Counter(await _bodies(watched.link, "jobs"))
    assert found == Counter(f"{caller}-{number}".encode() for caller in range(20) for number in range(30))


async def test_what_no_queue_takes_comes_back_and_the_rest_is_there(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        sender = Sender(watched.link)
        lost = _message("nowhere", b"2")
        with pytest.raises(Unroutable, match="nowhere") as failed:
            await sender.send([_message("jobs", b"1"), lost, _message("jobs", b"3")])
        assert failed.value.messages == (lost,)
        assert await _bodies(watched.link, "jobs") == [b"1", b"3"]
        assert watched.link.connected


async def test_what_a_full_queue_refuses_is_named(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        async with watched.link.scratch() as channel:
            arguments: Arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
            await channel.queue_declare("key", durable=True, arguments=arguments)
        sender = Sender(watched.link)
        fates = await sender.outcomes([_message("key", b"1"), _message("key", b"2"), _message("nowhere", b"3")])
        assert fates == [Fate.CONFIRMED, Fate.REFUSED, Fate.RETURNED]
        with pytest.raises(Refused, match="full"):
            await sender.send([_message("key", b"4")])
        assert await _bodies(watched.link, "key") == [b"1"]


async def test_without_mandatory_nobody_need_listen(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await Sender(watched.link).send([Outgoing("amq.fanout", "", b"{}", {}, mandatory=False, persistent=False)])


async def test_a_missing_exchange_fails_the_call_and_the_channel_comes_back(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        sender = Sender(watched.link)
        with pytest.raises(SourceUnavailable, match="no exchange 'missing'"):
            await sender.send([Outgoing("missing", "jobs", b"1", {})])
        await watched.whole_again()
        await sender.send([_message("jobs", b"2")])
        assert await _bodies(watched.link, "jobs") == [b"2"]
        assert (watched.link.epoch, watched.losses) == (1, [])


async def test_a_lost_connection_fails_the_call_at_once(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        sender = Sender(watched.link)

        async def send_for_ever() -> None:
            while True:
                await sender.send([_message("jobs", b"x")] * 10)

        async with asyncio.timeout(60):
            task = asyncio.create_task(send_for_ever())
            # From a thread: the broker waits for an answer of the connection that it closes.
            await asyncio.to_thread(vhost.close_connections)
            with pytest.raises(SourceUnavailable):
                await task
        await watched.whole_again()
        await sender.send([_message("jobs", b"last")])


async def test_a_cancelled_send_disturbs_nobody_and_is_cancelled(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        sender = Sender(watched.link)
        for turns in range(6):
            task = asyncio.create_task(sender.send([_message("nowhere", b"x"), _message("jobs", b"y")]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        await sender.send([_message("jobs", b"last")])
        assert watched.link.connected
        assert (await _bodies(watched.link, "jobs"))[-1] == b"last"


async def test_what_amqp_can_not_say_is_refused_before_anything_is_sent(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await _declare(watched.link, "jobs")
        sender = Sender(watched.link)
        for headers, key in (({"x": object()}, "jobs"), ({"x": 2**70}, "jobs"), ({}, "q" * 256)):
            with pytest.raises(PayloadError, match="AMQP"):
                await sender.send([_message("jobs", b"1"), Outgoing("", key, b"2", headers)])
        await sender.send([_message("jobs", b"3")])
        assert await _bodies(watched.link, "jobs") == [b"3"]


async def _declare(link: Link, queue: str) -> None:
    async with link.scratch() as channel:
        await channel.queue_declare(queue, durable=True, arguments=work_arguments(queue))


async def _bodies(link: Link, queue: str) -> list[bytes]:
    found = []
    async with link.scratch() as channel:
        while (message := await channel.basic_get(queue, no_ack=True)).delivery_tag is not None:
            found.append(message.body)
    return found


def _message(queue: str, body: bytes) -> Outgoing:
    return Outgoing("", queue, body, {"workerpool-attempts": 3})
