"""The pages of a real broker: one request for all, and what is said when they refuse or are something else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from tests.support.authority import make_authority
from tests.support.backlog_stage import NOWHERE, client, endpoint_of, staged
from tests.support.counting_proxy import counting, serving
from tests.support.rabbitmq import PASSWORD, Broker, Vhost
from tests.support.waiting import eventually
from workerpool_contract.amqp import amqp_parts
from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.rabbitmq import KEY_PREFIX
from workerpool_operator.backlog.rabbitmq.counts import Listing
from workerpool_operator.backlog.rabbitmq.pages import Pages, Seen
from workerpool_operator.backlog.rabbitmq.reader import RabbitmqBacklog
from workerpool_operator.backlog.watch import Endpoint

pytestmark = pytest.mark.rabbitmq

HTML = "<!doctype html><html><body>Welcome</body></html>"


@asynccontextmanager
async def listed(endpoint: Endpoint, timeout: float = 20.0) -> AsyncIterator[Callable[[], "asyncio.Future[Seen]"]]:
    """Asks for the listing of an endpoint, as often as a test wants."""
    now = [0.0]
    pages = Pages(endpoint, amqp_parts(endpoint.url), timeout=timeout, steady=lambda: now[0])

    async def ask() -> Seen:
        now[0] += 60
        pages.begin()
        return await pages.newest(at_first=60, later=60)

    try:
        yield lambda: asyncio.ensure_future(ask())
    finally:
        await pages.close()


async def refusal(endpoint: Endpoint, timeout: float = 20.0) -> str:
    """Why there is no listing; it shows no password."""
    async with listed(endpoint, timeout) as ask:
        found = (await ask()).listing
    assert isinstance(found, Unknown), found
    assert PASSWORD not in found.reason
    assert quote(PASSWORD, safe="") not in found.reason
    return found.reason


async def test_a_thousand_queues_are_one_request(vhost: Vhost) -> None:
    names = [f"q{number}" for number in range(1000)]
    async with client(vhost.url) as made, counting(vhost.management_url) as proxy:
        for name in names:
            await made.channel.queue_declare(name, exclusive=True)
        await made.publish("q7", 3)
        endpoint = replace(_without_amqp(vhost), management=proxy.url)
        reader = RabbitmqBacklog(endpoint, timeout=30.0)

        async def counted() -> bool:
            proxy.asked.clear()
            found = (await reader.read(names))["q7"]
            return isinstance(found, Backlog) and found.ready == 3

        await eventually(counted, "three jobs in one of the queues")
        assert [path.partition("?")[0] for path in proxy.asked] in ([], [f"/api/queues/{vhost.quoted}"])
        await reader.close()


async def test_queues_of_unique_keys_are_left_out_where_they_are_many(vhost: Vhost) -> None:
    async with client(vhost.url) as made, counting(vhost.management_url) as proxy:
        await made.channel.queue_declare("q", exclusive=True)
        for number in range(600):
            await made.channel.queue_declare(f"{KEY_PREFIX}{number}", exclusive=True)
        async with listed(replace(endpoint_of(vhost), management=proxy.url)) as ask:
            for _ in range(3):
                found = (await ask()).listing
                assert isinstance(found, Listing)
                assert list(found.rows) == ["q"]
    assert ["page=" in path for path in proxy.asked] == [False, True, True]


@pytest.mark.parametrize("name", ["/", "ü %2F?&#+"])
async def test_vhosts_of_any_name(rabbitmq_broker: Broker, name: str) -> None:
    made = Vhost(rabbitmq_broker, "/", "tests") if name == "/" else rabbitmq_broker.create_vhost(name)
    queue = "odd/que:ue#,@"
    async with client(made.url) as publisher:
        await publisher.channel.queue_declare(queue, exclusive=True)
        await publisher.publish(queue, 2)
        for endpoint in (_without_amqp(made), endpoint_of(made, management=False)):
            async with staged(made, endpoint) as stage:
                await stage.until(lambda it: it.ready == 2, queue)
        for left in ("q.high", "q", "q.low", "q.dead"):
            made.api("DELETE", f"queues/{{}}/{left}")
    if name != "/":
        rabbitmq_broker.drop_vhost(made)


async def test_a_wrong_password_and_a_user_without_the_tag(vhost: Vhost) -> None:
    base = vhost.management_url.rpartition("@")[2]
    right = endpoint_of(vhost, prometheus=False)
    wrong = replace(right, management=f"http://tests:wrong%2Fword@{base}")
    assert "refuses this user (401); check user and password" in await refusal(wrong)
    vhost.api("PUT", f"users/{vhost.user}", {"password": PASSWORD, "tags": ""})
    assert "give the user the tag management" in await refusal(right)


async def test_a_vhost_that_is_not_there(vhost: Vhost) -> None:
    url = vhost.url.rpartition("/")[0] + "/missing"
    endpoint = Endpoint(url, management=vhost.broker.management_url, prometheus=NOWHERE)
    reason = await refusal(endpoint)
    assert "knows no vhost missing (404); correct spec.source.rabbitmq.vhost" in reason
    reader = RabbitmqBacklog(endpoint, timeout=45.0)
    found = (await reader.read(["q"]))["q"]
    await reader.close()
    assert isinstance(found, Unknown)
    assert "refused the vhost" in found.reason


@pytest.mark.parametrize(
    ("status", "kind", "text", "words"),
    [
        (200, "text/html", HTML, "answers something that is no JSON, so it is no management API"),
        (200, "application/json", '{"queues": []}', "is no list of queues, so it is no management API"),
        (403, "text/html", HTML, "refuses this user (403)"),
        (404, "text/html", HTML, "knows no vhost"),
        (302, "text/html", HTML, "answers with status 302"),
        (503, "text/html", HTML, "answers with status 503"),
    ],
)
async def test_another_web_server(vhost: Vhost, status: int, kind: str, text: str, words: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type=kind, headers={"Location": "/elsewhere"})

    async with serving(answer) as url:
        reason = await refusal(replace(endpoint_of(vhost), management=url, prometheus=url))
    assert f"{url} {words}" in reason
    assert "spec.source.rabbitmq" in reason


async def test_a_server_that_never_answers_holds_nobody_up(vhost: Vhost, caplog: pytest.LogCaptureFixture) -> None:
    never = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    caplog.set_level(logging.DEBUG)
    async with serving(wait) as url:
        endpoint = replace(endpoint_of(vhost), management=url, prometheus=url)
        assert "takes too long to answer" in await refusal(endpoint, timeout=0.2)
        async with staged(vhost, endpoint) as stage:
            await stage.client.publish("q", 2)
            found = await stage.read()
            assert isinstance(found, Backlog)
            assert (found.ready, found.age) == (2, 0.0)
        never.set()
    assert PASSWORD not in caplog.text
    assert quote(PASSWORD, safe="") not in caplog.text


async def test_https_with_a_private_authority(vhost: Vhost, tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "127.0.0.1")
    async with counting(vhost.management_url, authority) as proxy:
        endpoint = replace(endpoint_of(vhost), management=proxy.url, prometheus=NOWHERE)
        assert "has a certificate that is not trusted here; set spec.source.rabbitmq.tls.caSecretRef" in await refusal(
            endpoint
        )
        async with listed(replace(endpoint, authority=authority.certificate.read_text())) as ask:
            assert isinstance((await ask()).listing, Listing)


def _without_amqp(vhost: Vhost) -> Endpoint:
    endpoint = endpoint_of(vhost)
    return replace(endpoint, url=endpoint.url.replace(f":{vhost.broker.amqp_port}/", ":9/"))
