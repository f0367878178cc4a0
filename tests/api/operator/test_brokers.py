"""A pool on a broker: credentials, management API and S3 keys from Secrets of their own, which may come and change."""

import base64
from typing import Any

import pytest

from tests.api.operator.conftest import Shop
from tests.support.backlog_stage import client
from tests.support.rabbitmq import PASSWORD, Vhost

pytestmark = [pytest.mark.kubernetes, pytest.mark.rabbitmq]

ANNOTATION = "workerpool.dev/secret-version"


def secret(shop: Shop, name: str, **values: str) -> None:
    """Creates or changes a Secret."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    shop.server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}, shop.namespace)


def pool(shop: Shop, vhost: Vhost, **management: Any) -> None:
    """A pool on the vhost by its parts, with a builtin worker."""
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
    shop.pool(source={"rabbitmq": source}, worker={"builtin": "s3-archive", "archive": archive})


def versions(shop: Shop) -> dict[str, str]:
    """What the pod template says of each Secret."""
    found = shop.get("deployment") or {}
    text = found.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {}).get(ANNOTATION, "")
    return {name: number for name, _, number in (part.partition("=") for part in text.split(",") if part)}


def messages(shop: Shop) -> list[str]:
    """Messages of all events."""
    return [it["message"] for it in shop.server.json("get", "events", f"--namespace={shop.namespace}")["items"]]


async def test_secrets_of_a_broker_may_come_later_one_by_one(shop: Shop, vhost: Vhost) -> None:
    async with client(vhost.url) as it:
        await it.declare("orders")
        await it.publish("orders", 3)
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
    secret(shop, "mq", username=vhost.user, password=PASSWORD)
    async with client(vhost.url) as it:
        await it.declare("orders")
        await it.publish("orders", 2)
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
