"""The link to a broker heals, tells at once what it lost, and leaves nothing behind."""

import asyncio
import gc
import logging

import pytest
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.link import Link

pytestmark = pytest.mark.rabbitmq


async def test_connected_it_knows_the_version_and_shows_its_names(vhost: Vhost) -> None:
    async with linked(vhost.url, name="runner-7") as watched:
        assert watched.link.connected
        assert watched.link.version >= (3, 10, 0)
        assert (watched.link.epoch, watched.link.last_error, watched.link.blocked) == (1, None, False)

        async def listed() -> bool:
            names = {
                one["client_properties"].get("connection_name") for one in vhost.api("GET", "vhosts/{}/connections")
            }
            return names == {"runner-7 consume", "runner-7 publish"}

        await eventually(listed, "both connections in the broker's list")


async def test_closed_by_an_operator_it_tells_at_once_and_comes_back(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await asyncio.to_thread(vhost.close_connections)
        await watched.whole_again()
        assert watched.link.epoch == 2
        assert len(watched.losses) == 1
        assert watched.link.consume_channel().is_closed is False


async def test_a_channel_that_the_broker_closes_is_a_loss_and_the_connection_stays(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        channel = watched.link.consume_channel()
        connection = channel.connection
        with pytest.raises(ChannelNotFoundEntity):
            await channel.queue_declare("missing", passive=True)
        await watched.whole_again()
        assert watched.link.epoch == 2
        assert "no queue 'missing'" in watched.losses[0]
        assert watched.link.consume_channel() is not channel
        assert watched.link.consume_channel().connection is connection


async def test_an_acknowledgement_too_many_is_noticed_without_anybody_waiting(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await watched.link.consume_channel().basic_ack(99, wait=False)
        await watched.whole_again()
        assert "unknown delivery tag" in watched.losses[0]


async def test_reset_gives_held_messages_back(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        async with watched.link.scratch() as channel:
            await channel.queue_declare("jobs", durable=True)
        await watched.link.publish_channel().basic_publish(b"1", routing_key="jobs")
        await watched.link.consume_channel().basic_get("jobs")
        watched.link.reset("had enough")
        assert (watched.link.epoch, watched.losses, watched.link.connected) == (2, ["had enough"], False)
        with pytest.raises(SourceUnavailable, match="had enough"):
            watched.link.consume_channel()
        await watched.whole_again()
        again = await watched.link.consume_channel().basic_get("jobs")
        assert (again.body, again.redelivered) == (b"1", True)


async def test_scratch_channels_take_the_refusals_and_nothing_else_is_hurt(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        with pytest.raises(ChannelNotFoundEntity):
            async with watched.link.scratch() as channel:
                await channel.queue_declare("missing", passive=True)
        async with watched.link.scratch() as channel:
            await channel.queue_declare("jobs", durable=True)
        with pytest.raises(ChannelPreconditionFailed):
            async with watched.link.scratch() as channel:
                await channel.queue_declare("jobs", durable=False)
        assert (watched.link.epoch, watched.losses) == (1, [])


async def test_a_scratch_channel_lost_in_between_is_an_unavailable_broker(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:

        async def ask_for_ever() -> None:
            async with watched.link.scratch() as channel:
                while True:
                    await channel.queue_declare("jobs", durable=True)

        task = asyncio.create_task(ask_for_ever())
        await asyncio.to_thread(vhost.close_connections)
        with pytest.raises(SourceUnavailable):
            await task
        await watched.whole_again()


async def test_cancelling_whoever_uses_a_scratch_channel_is_not_lost(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        entered = asyncio.Event()

        async def use() -> None:
            async with watched.link.scratch():
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(use())
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert watched.link.connected


async def test_a_cancellation_at_the_moment_of_a_loss_is_not_lost(vhost: Vhost) -> None:
    """The client library answers a cancelled call with the loss of the connection, if that comes first."""

    async def ask_for_ever(link: Link) -> None:
        while True:
            try:
                async with link.scratch() as channel:
                    while True:
                        await channel.queue_declare("jobs", durable=True)
            except SourceUnavailable:
                await asyncio.sleep(0)

    for turns in range(0, 32, 2):
        async with linked(vhost.url) as watched:
            task = asyncio.create_task(ask_for_ever(watched.link))
            channel = watched.link.consume_channel()
            cut = asyncio.create_task(channel.connection.close(ConnectionResetError("cut by a test")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=45)
            assert done, f"the cancellation was lost after {turns} turns of the loop"
            assert task.cancelled()
            await cut


async def test_ready_waits_for_the_return_and_not_longer(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        watched.link.reset("test")
        with pytest.raises(SourceUnavailable, match="test"):
            await watched.link.ready(0)
        await watched.link.ready(45)


async def test_a_server_that_never_answers_can_be_left_and_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled ``open`` ends, although the first words of the protocol never come."""
    met = asyncio.Event()
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    task = asyncio.create_task(Link(Endpoint(f"amqp://127.0.0.1:{port}/"), name="test").open())
    await met.wait()
    with caplog.at_level(logging.WARNING):
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.wait_for(left.wait(), 45)
        server.close()
        gc.collect()
    assert caplog.records == []
