"""A link outlives its broker: restarts, kills, alarms, silence; and TLS with a private authority."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import make_authority
from tests.support.linked import Linked, linked
from tests.support.proxy import proxy_to
from tests.support.rabbitmq import Broker, Vhost, throw_away_broker
from tests.support.waiting import DEADLINE, eventually
from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.sending import Sender

pytestmark = [pytest.mark.rabbitmq, pytest.mark.crash]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with throw_away_broker(tls=True) as started:
        yield started


@pytest.fixture
def place(broker: Broker) -> Vhost:
    return broker.create_vhost()


async def test_tls_with_a_private_authority_works_and_without_it_says_what_is_missing(
    place: Vhost, tmp_path: Path
) -> None:
    assert place.broker.authority
    async with linked(place.tls_url, ca_file=str(place.broker.authority.certificate)) as watched:
        await _send(watched, b"1")
    stranger = make_authority(tmp_path, "127.0.0.1")
    for ca_file in (None, str(stranger.certificate)):
        with pytest.raises(ConfigError, match=r"can't be trusted .*WORKERPOOL_RABBITMQ_CA_FILE"):
            await Link(Endpoint(place.tls_url, ca_file), name="test").open()


async def test_a_restart_and_a_kill_are_outlived(place: Vhost) -> None:
    async with linked(place.url) as watched:
        await _send(watched, b"0")
        place.broker.flush()
        for times, outage in enumerate((place.broker.stop, place.broker.kill), start=1):
            await asyncio.to_thread(outage)

            async def lost() -> bool:
                return not watched.link.connected

            await eventually(lost, "the loss is noticed")
            with pytest.raises(SourceUnavailable):
                await _send(watched, b"1")
            await asyncio.to_thread(place.broker.start)
            await watched.whole_again(times)
            assert watched.link.epoch == times + 1
            await _send(watched, b"1")


async def test_short_of_memory_nothing_is_published_and_jobs_are_still_settled(place: Vhost) -> None:
    async with linked(place.url) as watched:
        await _send(watched, b"1")
        limit = "eval", "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."
        await asyncio.to_thread(place.broker.ctl, *limit)
        sender = Sender(watched.link, 2.0)

        async def refused() -> bool:
            # The broker tells a connection at its next publish, and takes no more of it.
            try:
                await sender.send([Outgoing("", "jobs", b"2", {})])
            except SourceUnavailable as error:
                return "short of memory" in str(error)
            return False

        await eventually(refused, "the broker blocks publishes")
        assert watched.link.blocked
        channel = watched.link.consume_channel()
        message = await channel.basic_get("jobs")
        assert message.delivery_tag is not None
        await channel.basic_ack(message.delivery_tag)
        async with watched.link.scratch() as scratch:
            await scratch.queue_declare("jobs", passive=True)
        await asyncio.to_thread(place.broker.ctl, "eval", "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")

        async def free() -> bool:
            return not watched.link.blocked

        await eventually(free, "the broker takes publishes again")
        await Sender(watched.link, DEADLINE).send([Outgoing("", "jobs", b"3", {})])
        assert watched.link.epoch == 1


async def test_a_broker_that_falls_silent_is_unavailable_in_time_and_can_be_left(place: Vhost) -> None:
    with proxy_to(place.url) as proxy:
        port = str(place.broker.amqp_port)
        url = place.url.replace(f":{port}/", f":{proxy.port}/")
        async with linked(url) as watched:
            await _send(watched, b"1")
            proxy.stall()
            with pytest.raises(SourceUnavailable, match="no answer in time"):
                await Sender(watched.link, 0.5).send([Outgoing("", "jobs", b"2", {})])
            proxy.heal()
            await _send(watched, b"3")
            proxy.stall()
        # Closing a link over a dead network took seconds, not for ever.


async def _send(watched: Linked, body: bytes) -> None:
    async with watched.link.scratch() as channel:
        await channel.queue_declare("jobs", durable=True, arguments={"x-queue-type": "quorum"})
    await Sender(watched.link).send([Outgoing("", "jobs", body, {})])
