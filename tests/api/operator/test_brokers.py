"""A pool on a broker: its Secrets may come and change, the broker may go and come back, its queues outlive the pool."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.operator.conftest import Shop
from tests.support.backlog_stage import client
from tests.support.rabbitmq import PASSWORD, Broker, Vhost, throw_away_broker

pytestmark = [pytest.mark.kubernetes, pytest.mark.rabbitmq]

ANNOTATION = "workerpool.dev/secret-version"
SCALING = {
    "backlogPerReplica": 1,
    "maxReplicas": 20,
    "pollIntervalSeconds": 1,
    "scaleDown": {"stabilizationSeconds": 0},
}
REFUSED = "refused the login; check user and password in the Secret of spec.source.rabbitmq.credentialsSecretRef"


@pytest.fixture
def fragile() -> Iterator[Broker]:
    """A server that may be stopped."""
    with throw_away_broker() as broker:
        yield broker


def secret(shop: Shop, name: str, **values: str) -> None:
    """Creates or changes a Secret."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    shop.server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}, shop.namespace)


def pool(shop: Shop, vhost: Vhost, **management: Any) -> None:
    """A pool on the vhost by its parts, with a builtin worker. It scales in at once: a false zero would show."""
    broker = vhost.broker
    source = {
        "queue": "orders",
        "host": broker.host,
        "port": broker.amqp_port,
        "vhost": vhost.name,
        "credentialsSecretRef": {"name": "mq"},
        "management": management,
    }
    archive = {"bucket": "sessions", "credentialsSecretRef": {"name": "s3"}}
    shop.pool(source={"rabbitmq": source}, worker={"builtin": "s3-archive", "archive": archive}, scaling=SCALING)


async def publish(vhost: Vhost, count: int) -> None:
    """Publishes jobs of a queue, which it declares where that is missing."""
    async with client(vhost.url) as it:
        await it.declare("orders")
        await it.publish("orders", count)


def versions(shop: Shop) -> dict[str, str]:
    """What the pod template says of each Secret."""
    found = shop.get("deployment") or {}
    text = found.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {}).get(ANNOTATION, "")
    return {name: number for name, _, number in (part.partition("=") for part in text.split(",") if part)}


def messages(shop: Shop) -> list[str]:
    """Messages of all events."""
    return [it["message"] for it in shop.server.json("get", "events", f"--namespace={shop.namespace}")["items"]]


async def test_secrets_of_a_broker_may_come_later_one_by_one(shop: Shop, vhost: Vhost) -> None:
    await publish(vhost, 3)
    pool(shop, vhost, urlSecretRef={"name": "api"})
    shop.until(lambda: "Secret mq does not exist" in shop.condition("ScalingActive")[2], "a missing Secret")
    words = shop.condition("ScalingActive")[2]
    assert "create it with the user name under the key username and the password under the key password" in words
    assert "Secret api does not exist; create it with the URL of the management API under the key url" in words
    secret(shop, "mq", username=vhost.user)
    secret(shop, "api", url=vhost.management_url)
    lacks = (
        "Secret mq has no value under the key password; add it, or correct spec.source.rabbitmq.credentialsSecretRef"
    )
    shop.until(lambda: lacks in shop.condition("ScalingActive")[2], "a missing key")
    secret(shop, "mq", username=vhost.user, password=PASSWORD)
    shop.until(lambda: shop.size() == 3, "three replicas")
    assert PASSWORD not in shop.operator.log()


async def test_new_values_are_used_and_roll_those_who_get_them(shop: Shop, vhost: Vhost) -> None:
    secret(shop, "mq", username=vhost.user, password="too early")
    secret(shop, "api", url=f"http://{vhost.broker.host}:{vhost.broker.ports.management}")
    secret(shop, "s3", accessKey="GK1", secretKey="one")
    pool(shop, vhost, urlSecretRef={"name": "api"})
    shop.until(lambda: shop.condition("ScalingActive")[1] == "BacklogUnknown", "a login that fails")
    assert REFUSED in shop.condition("ScalingActive")[2]
    secret(shop, "mq", username=vhost.user, password=PASSWORD)
    await publish(vhost, 2)
    shop.until(lambda: shop.size() == 2, "two replicas")
    shop.until(lambda: versions(shop).keys() == {"mq", "s3"}, "a Deployment that knows its Secrets")
    before = versions(shop)
    secret(shop, "api", url=vhost.management_url)
    words = "Secret api has a new value under url; it is used from now on"
    shop.until(lambda: words in messages(shop), "an event that speaks of no runners")
    assert versions(shop) == before
    secret(shop, "s3", accessKey="GK1", secretKey="two")
    shop.until(lambda: versions(shop)["s3"] != before["s3"], "another version of the keys")
    assert versions(shop)["mq"] == before["mq"]
    assert shop.size() == 2


async def test_a_login_that_only_amqp_refuses_is_said_once_and_hinders_no_scaling(shop: Shop, vhost: Vhost) -> None:
    await publish(vhost, 3)
    secret(shop, "mq", username=vhost.user, password="wrong")
    secret(shop, "api", url=vhost.management_url)
    pool(shop, vhost, urlSecretRef={"name": "api"})
    shop.until(lambda: shop.condition("ScalingActive")[:2] == ("True", "BacklogIndirect"), "a doubt")
    assert f"vhost {vhost.name} {REFUSED}" in shop.condition("ScalingActive")[2]
    shop.until(lambda: shop.size() == 3, "three replicas by the management API")
    shop.rest()
    before = shop.writes()
    shop.rest(6)
    assert shop.writes() == before
    secret(shop, "mq", username=vhost.user, password=PASSWORD)
    known = ("True", "BacklogKnown", "")
    shop.until(lambda: shop.condition("ScalingActive") == known, "no doubt")
    assert shop.size() == 3


async def test_a_broker_that_goes_and_comes_back_leaves_the_size_alone(shop: Shop, fragile: Broker) -> None:
    vhost = fragile.create_vhost()
    await publish(vhost, 3)
    secret(shop, "mq", username=vhost.user, password=PASSWORD)
    pool(shop, vhost, url=f"http://{fragile.host}:{fragile.ports.management}")
    shop.until(lambda: shop.size() == 3, "three replicas")
    # Once everything has been written, nothing moves until there is more to do.
    shop.rest()
    before = _sizes(shop)
    fragile.flush()
    fragile.stop()
    words = f"RabbitMQ at {fragile.host}:{fragile.amqp_port}, vhost {vhost.name} can't be reached"

    def unreachable() -> bool:
        # While the broker ends in order it may say so itself, in other words.
        status, reason, message = shop.condition("ScalingActive")
        return (status, reason) == ("False", "BacklogUnknown") and words in message

    shop.until(unreachable, "an unknown backlog, and why")
    shop.rest()
    assert shop.size() == 3
    fragile.start()
    shop.until(lambda: shop.condition("ScalingActive")[0] == "True", "a known backlog again")
    shop.until(lambda: shop.condition("ScalingActive")[1] == "BacklogKnown", "a backlog without doubts")
    assert (shop.size(), _sizes(shop)) == (3, before)
    await publish(vhost, 2)
    shop.until(lambda: shop.size() == 5, "five replicas")
    assert {"BacklogUnknown", "BacklogKnown"} <= set(shop.reasons())


async def test_the_queues_of_a_pool_outlive_it(shop: Shop, vhost: Vhost) -> None:
    await publish(vhost, 3)
    secret(shop, "mq", username=vhost.user, password=PASSWORD)
    before = _queues(vhost)
    pool(shop, vhost, url=f"http://{vhost.broker.host}:{vhost.broker.ports.management}")
    shop.until(lambda: shop.size() == 3, "three replicas")
    shop.kubectl("delete", "workerpool", "orders", "--wait=false")
    shop.until(lambda: 'pool="orders"' not in (shop.operator.page("metrics") or ""), "metrics without the pool")
    # What the operator listened with was its own, and goes with its connection.
    shop.until(lambda: _queues(vhost) == before, "the queues as they were")
    async with client(vhost.url) as it:
        assert (await it.channel.queue_declare("orders", passive=True)).message_count == 3


def _sizes(shop: Shop) -> list[tuple[str, str, str]]:
    """Every write to a Deployment."""
    return [write for write in shop.writes() if write[1].startswith("deployments")]


def _queues(vhost: Vhost) -> set[str]:
    return {queue["name"] for queue in vhost.api("GET", "queues/{}?columns=name")}
