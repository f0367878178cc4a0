"""Getting into a broker: odd names and passwords work, refusals name field and cure, and no secret is told."""

import asyncio
from urllib.parse import quote, urlsplit

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Broker, Vhost
from workerpool.errors import ConfigError, SourceUnavailable
from workerpool.sources.rabbitmq import connecting
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.link import Link

pytestmark = pytest.mark.rabbitmq

ODD = "hunter2:/?#[]@!$&'()*+,;= %ä%2F"


@pytest.mark.parametrize("name", ["plain", "a/b", "/", "a%2Fb", "50% off", "mail+post", "ä ö#?@:"])
async def test_any_name_of_a_vhost_and_any_password_get_in(rabbitmq_broker: Broker, vhost: Vhost, name: str) -> None:
    shown = quote(name, safe="")
    user = quote(ODD, safe="")
    rabbitmq_broker.api("PUT", f"users/{user}", {"password": ODD, "tags": "management"})
    if name != "/":
        rabbitmq_broker.api("PUT", f"vhosts/{shown}", {})
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq_broker.api("PUT", f"permissions/{shown}/{user}", rights)
    port = rabbitmq_broker.amqp_port
    url = f"amqp://{user}:{user}@127.0.0.1:{port}/{shown}"
    async with linked(url) as watched, watched.link.scratch() as channel:
        await channel.queue_declare("here", exclusive=True)
        assert [one["name"] for one in rabbitmq_broker.api("GET", f"queues/{shown}")] == ["here"]
    if name != "/":
        rabbitmq_broker.api("DELETE", f"vhosts/{shown}")


async def test_a_refused_login_names_the_cure_and_not_the_password(vhost: Vhost) -> None:
    host = f"127.0.0.1:{vhost.broker.amqp_port}"
    with pytest.raises(
        ConfigError, match=r"refused the login .*user and password in WORKERPOOL_URL.* an @ in them is %40"
    ) as refused:
        await Link(Endpoint(f"amqp://{vhost.user}:hunter22@{host}/{vhost.quoted}"), name="test").open()
    assert "hunter22" not in str(refused.value)
    assert host in str(refused.value)


async def test_a_missing_vhost_names_it_and_the_cure(vhost: Vhost) -> None:
    with pytest.raises(ConfigError, match=r"refused the virtual host 'no/where': it doesn't exist.*add_vhost"):
        await Link(Endpoint(vhost.url.rpartition("/")[0] + "/no%2Fwhere"), name="test").open()


@pytest.mark.parametrize("url", ["amqp://u:hunter22@127.0.0.1:1/v", "amqp://u:hunter22@name.invalid/v"])
async def test_a_broker_that_is_not_there_is_unavailable(url: str) -> None:
    with pytest.raises(SourceUnavailable, match="can't be reached") as failed:
        await Link(Endpoint(url), name="test").open()
    assert "hunter22" not in str(failed.value)


async def test_the_port_of_the_management_api_is_told(
    vhost: Vhost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cowboy waits 5 s for the rest of what it takes for a request, then hangs up without a word."""
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", 45.0)
    port = urlsplit(vhost.broker.management_url).port
    url = vhost.url.replace(f":{vhost.broker.amqp_port}/", f":{port}/")
    told = rf"hung up without a word of AMQP; if {port} is the port of the management API .*usually 5672"
    with pytest.raises(SourceUnavailable, match=told):
        await Link(Endpoint(url), name="test").open()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "doesn't speak AMQP; if [0-9]+ is the port of the management API"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "speaks TLS; write amqps://"),
    ],
)
async def test_a_port_that_speaks_something_else_is_told_at_once(answer: bytes, told: str) -> None:
    """It keeps the connection: no end of the stream tells that nothing more comes."""
    left = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ConfigError, match=f"^url: RabbitMQ at 127.0.0.1:{port}/v {told}"):
        await Link(Endpoint(f"amqp://u:hunter22@127.0.0.1:{port}/v"), name="test").open()
    async with asyncio.timeout(45):
        await left.wait()
    server.close()


async def test_tls_to_a_port_without_it_is_told(vhost: Vhost) -> None:
    with pytest.raises(ConfigError, match=r"speaks no TLS; write amqp://, or the port .* 5671"):
        await Link(Endpoint(vhost.url.replace("amqp://", "amqps://")), name="test").open()
