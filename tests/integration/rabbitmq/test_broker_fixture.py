"""The test broker: its release and ports, data that outlives a crash, connections that an operator can close, TLS."""

import ssl

import aio_pika
import pytest

from tests.support.broker_programs import release
from tests.support.rabbitmq import Broker, Vhost, throw_away_broker
from tests.support.waiting import eventually

pytestmark = pytest.mark.rabbitmq


def test_the_server_is_of_the_release_that_the_tests_are_to_run_on(rabbitmq_broker: Broker) -> None:
    assert rabbitmq_broker.api("GET", "overview")["rabbitmq_version"].startswith(release())


async def test_closing_the_connections_of_one_virtual_host_leaves_others_alone(
    rabbitmq_broker: Broker, vhost: Vhost
) -> None:
    other = rabbitmq_broker.create_vhost()
    closed = await aio_pika.connect(vhost.url)
    kept = await aio_pika.connect(other.url)
    async with kept:
        vhost.close_connections()

        async def gone() -> bool:
            return closed.transport is None or closed.transport.connection.is_closed

        await eventually(gone, "the connection is closed")
        assert (await kept.channel()).is_initialized
    await closed.close()
    rabbitmq_broker.drop_vhost(other)


@pytest.mark.crash
async def test_a_killed_broker_comes_back_with_its_messages_on_its_port_and_speaks_tls() -> None:
    with throw_away_broker(tls=True) as broker:
        made = broker.create_vhost()
        async with await aio_pika.connect(made.url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
            await channel.default_exchange.publish(aio_pika.Message(b"1", delivery_mode=2), "kept")
            assert queue.name == "kept"
        broker.flush()
        broker.kill()
        assert not broker.running
        broker.start()
        assert broker.authority
        trusting = ssl.create_default_context(cafile=str(broker.authority.certificate))
        async with await aio_pika.connect(made.tls_url, ssl_context=trusting) as connection:
            channel = await connection.channel()
            message = await (await channel.declare_queue("kept", passive=True)).get(timeout=60)
            assert message.body == b"1"
