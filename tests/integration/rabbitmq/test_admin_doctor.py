"""The doctor finds what is really wrong with a real broker, changes nothing and shows no password."""

from collections.abc import AsyncIterator

import pytest

from tests.support.rabbitmq import PASSWORD, Vhost
from tests.support.rabbitstand import Stand, stand
from workerpool.errors import SourceError
from workerpool.sources.administration import DeadFilter
from workerpool.sources.base import NewJob
from workerpool.sources.checks import Check, Level
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.admin_doctor import examine
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.publisher import RabbitmqPublisher
from workerpool_contract.rabbitmq import UNROUTED

pytestmark = pytest.mark.rabbitmq


async def found(url: str, management: str | None = None) -> dict[str, Check]:
    checks = [check async for check in examine(Endpoint(url), management)]
    assert not any(PASSWORD in it.detail + it.cure or "p%40ss" in it.detail + it.cure for it in checks)
    return {it.name: it for it in checks}


@pytest.fixture
async def place(vhost: Vhost) -> AsyncIterator[Stand]:
    async with stand(vhost.url) as made:
        yield made


async def test_an_empty_virtual_host_is_healthy_and_stays_empty(vhost: Vhost) -> None:
    checks = await found(vhost.url, vhost.management_url)
    assert list(checks) == ["connection", "version", "messages", "topology", "unrouted", "management", "queues"]
    assert {it.level for it in checks.values()} == {Level.OK}
    assert "nothing is declared yet" in checks["topology"].detail
    assert vhost.api("GET", "queues/{}?disable_stats=true") == []


async def test_waiting_jobs_without_a_runner_and_dead_letters_are_told(place: Stand) -> None:
    await place.bury("orders", 2)
    assert (await found(place.url))[
        "queues"
    ].detail == "1 queues, 0 jobs ready, 2 dead letters (see `workerpool dlq list`)"
    await place.send("orders", NewJob("1"))
    check = (await found(place.url))["queues"]
    assert (check.level, check.detail) == (Level.WARN, "orders: 1 ready and no runner, its workers are stopped")


async def test_what_is_missing_or_differs_is_named_with_the_command_that_shows_it(vhost: Vhost, place: Stand) -> None:
    await place.bury("orders", 1)
    assert (await found(place.url))["topology"].level is Level.OK
    vhost.api("DELETE", "queues/{}/orders.low")
    vhost.api("DELETE", "queues/{}/orders")
    vhost.api("PUT", "queues/{}/orders", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    check = (await found(place.url))["topology"]
    assert check.level is Level.WARN
    assert check.detail == "queue orders (quorum) differs; queue orders.low (quorum) is missing"
    assert "workerpool topology plan" in check.cure


async def test_jobs_that_wait_for_a_queue_that_is_gone_are_told_with_the_cure(place: Stand) -> None:
    await place.subscribe("orders", "orders")
    sent = [Outgoing(UNROUTED, name, b"1", {}) for name in ("orders", "orders.low", "old parcels.high")]
    await place.sender.send(sent)
    check = (await found(place.url))["unrouted"]
    assert check.level is Level.WARN
    assert check.detail == "3 jobs wait in workerpool.unrouted for queues that were gone: old parcels, orders"
    assert "`workerpool topology apply 'old parcels' orders`" in check.cure


async def test_what_another_program_called_no_queue_writes_nothing_raw_into_a_terminal(place: Stand) -> None:
    await place.sender.send([Outgoing(UNROUTED, name, b"1", {}) for name in ("orders", "a\x1b[2Jb")])
    check = (await found(place.url))["unrouted"]
    assert check.detail.endswith("for queues that were gone: orders, 'a\\x1b[2Jb'")
    assert "`workerpool topology apply orders`" in check.cure


async def test_an_unreachable_management_api_is_a_warning(vhost: Vhost) -> None:
    check = (await found(vhost.url, "http://127.0.0.1:9"))["management"]
    assert (check.level, check.detail.partition(" can't")[0]) == (Level.WARN, "http://127.0.0.1:9")
    assert "WORKERPOOL_RABBITMQ_MANAGEMENT_URL" in check.cure


async def test_missing_permissions_are_told_in_the_brokers_words(vhost: Vhost, place: Stand) -> None:
    await place.bury("orders", 1)
    vhost.api("PUT", f"permissions/{{}}/{vhost.user}", {"configure": "^$", "write": ".*", "read": "^workerpool"})
    checks = await found(vhost.url)
    assert checks["messages"].level is Level.FAIL
    assert "ACCESS_REFUSED" in checks["messages"].detail
    async with RabbitmqAdmin(Endpoint(vhost.url)) as admin:
        with pytest.raises(SourceError, match=r"ACCESS_REFUSED.*orders\.dead"):
            await admin.dead(DeadFilter())
    publisher = RabbitmqPublisher(Endpoint(vhost.url))
    with pytest.raises(SourceError, match="ACCESS_REFUSED"):
        await publisher.enqueue("orders", [NewJob("1", unique_key="k")])
    await publisher.close()


async def test_a_refused_login_fails(vhost: Vhost) -> None:
    checks = await found(vhost.url.replace(vhost.user, "nobody"))
    assert [(it.name, it.level) for it in checks.values()] == [("connection", Level.FAIL)]
    assert (checks["connection"].cure, "check user and password" in checks["connection"].detail) == ("", True)
