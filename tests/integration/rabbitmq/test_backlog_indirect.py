"""AMQP refuses while the management API answers: the reading says what is missing and the cure, until it is mended."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.backlog_stage import endpoint_of, staged
from tests.support.rabbitmq import PASSWORD, Vhost
from tests.support.waiting import eventually
from workerpool_contract.backlog import Backlog
from workerpool_operator.backlog.rabbitmq.reader import RabbitmqBacklog
from workerpool_operator.backlog.watch import Endpoint

pytestmark = pytest.mark.rabbitmq

Change = Callable[[Vhost], Any]
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


def password(value: str) -> Change:
    """Gives the user of a vhost a password."""
    return lambda vhost: vhost.api("PUT", f"users/{vhost.user}", {"password": value, "tags": "management"})


def shut(vhost: Vhost) -> None:
    """Forbids the user of a vhost to enter it."""
    vhost.api("DELETE", f"permissions/{{}}/{vhost.user}")


def opened(vhost: Vhost) -> None:
    """Allows it again."""
    vhost.api("PUT", f"permissions/{{}}/{vhost.user}", EVERYTHING)


def by_administrator(vhost: Vhost) -> Endpoint:
    """An endpoint whose management API is asked as somebody else."""
    return replace(endpoint_of(vhost), management=vhost.broker.management_url)


@pytest.mark.parametrize(
    ("breaks", "mends", "words"),
    [
        (password("changed"), password(PASSWORD), "refused the login; check user and password in the Secret of"),
        (shut, opened, "refused the vhost: it does not exist, or the user may not enter it; correct"),
    ],
    ids=["login", "vhost"],
)
async def test_what_amqp_refuses_is_said_until_it_is_mended(
    vhost: Vhost, breaks: Change, mends: Change, words: str
) -> None:
    async with staged(vhost) as stage:
        await stage.client.publish("q", 4)
        reader = RabbitmqBacklog(by_administrator(vhost), timeout=20.0)
        breaks(vhost)
        said: set[str] = set()

        async def counted(*, directly: bool) -> bool:
            found = (await reader.read(["q"]))["q"]
            if isinstance(found, Backlog) and not directly:
                said.add(found.indirect)
            return isinstance(found, Backlog) and found.ready == 4 and bool(found.age) is not directly

        try:
            await eventually(lambda: counted(directly=False), "four jobs by the page")
            assert await counted(directly=False)
            mends(vhost)
            await eventually(lambda: counted(directly=True), "four jobs by AMQP")
            found = (await reader.read(["q"]))["q"]
        finally:
            await reader.close()
    # One text, so that no status is written again and again.
    (reason,) = said
    assert f"RabbitMQ at {vhost.broker.host}:{vhost.broker.amqp_port}, vhost {vhost.name} {words}" in reason
    assert f"the counts are those of http://{vhost.broker.host}:{vhost.broker.ports.management}" in reason
    assert PASSWORD not in reason
    assert found == Backlog(4)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{port}/", "9/", "can't be reached; check spec.source.rabbitmq.host and port"),
        ("amqp:", "amqps:", "can't be spoken to by TLS; check spec.source.rabbitmq.tls and the port"),
    ],
    ids=["port", "tls"],
)
async def test_a_broker_that_no_connection_reaches_is_named_with_the_cure(
    vhost: Vhost, old: str, new: str, words: str
) -> None:
    wrong = vhost.url.replace(old.format(port=vhost.broker.amqp_port), new)
    async with staged(vhost, replace(by_administrator(vhost), url=wrong)) as stage:
        await stage.client.publish("q", 4)
        found = await stage.until(lambda it: it.ready == 4)
    assert words in found.indirect
    assert f"the counts are those of http://{vhost.broker.host}:" in found.indirect
