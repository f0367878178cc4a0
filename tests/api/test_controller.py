"""The controller in this process, on a real API server, while its watches are late."""

import base64
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.apiserver import ApiServer
from workerpool_operator.backlog.hub import Hub
from workerpool_operator.backlog.postgres import open_postgres
from workerpool_operator.controller import REFUSED_AGAIN, Clocks, Controller
from workerpool_operator.kube.api import POOLS
from workerpool_operator.kube.client import Client
from workerpool_operator.kube.events import Recorder
from workerpool_operator.kube.objects import PoolKey
from workerpool_operator.kube.platform import Knowledge, KubernetesPlatform
from workerpool_operator.kube.secrets import Secrets
from workerpool_operator.kube.world import World
from workerpool_operator.metrics import Metrics

pytestmark = pytest.mark.kubernetes

POOL: dict[str, Any] = {
    "apiVersion": "workerpool.dev/v1",
    "kind": "WorkerPool",
    "metadata": {"name": "orders"},
    "spec": {
        "source": {"postgres": {"queue": "orders", "urlSecretRef": {"name": "queue-db"}}},
        "worker": {"app": "shop.workers", "image": "local/runner:1"},
        "scaling": {"pollIntervalSeconds": 60},
    },
}


@pytest.fixture
def world() -> World:
    """What the controller knows; a test tells it."""
    return World()


@pytest.fixture
async def controller(kube: Client, world: World) -> AsyncIterator[Controller]:
    """A controller that nobody wakes."""
    hub: Hub[PoolKey] = Hub(open_postgres, steady=time.monotonic, notify=lambda _: None)
    secrets = Secrets(kube, lambda _: None)
    knowledge = Knowledge(hub.look, hub.refresh, secrets.sightings)
    recorder = Recorder(kube, "test", steady=time.monotonic, wall=lambda: datetime.now(UTC))
    platform = KubernetesPlatform(kube, world, knowledge, recorder)
    clocks = Clocks(time.monotonic, time.time)
    yield Controller(world=world, hub=hub, secrets=secrets, platform=platform, metrics=Metrics(), clocks=clocks)
    await hub.aclose()


async def test_a_change_that_only_the_answer_to_an_own_write_tells_is_looked_at_at_once(
    api_server: ApiServer, namespace: str, kube: Client, world: World, controller: Controller
) -> None:
    key = PoolKey(namespace, "orders")
    api_server.apply(POOL, namespace)
    world.put(POOLS, await kube.get(POOLS, *key))
    pause = {"spec": {"scaling": {"pause": {"mode": "Hold"}}}}
    await kube.merge(POOLS, *key, pause)
    assert await controller.reconcile(key) == 0.0
    assert await controller.reconcile(key) == 60.0
    conditions = (await kube.get(POOLS, *key))["status"]["conditions"]
    assert "Paused" in {condition["reason"] for condition in conditions}


async def test_what_was_refused_is_tried_again_whatever_the_poll_interval(
    api_server: ApiServer, namespace: str, kube: Client, world: World, controller: Controller
) -> None:
    key = PoolKey(namespace, "orders")
    selected = {"matchLabels": {"app": "web"}}
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "local/web:1"}]}}
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"}}
    api_server.apply({**foreign, "spec": {"selector": selected, "template": pod}}, namespace)
    api_server.apply(POOL, namespace)
    world.put(POOLS, await kube.get(POOLS, *key))
    assert await controller.reconcile(key) == REFUSED_AGAIN


async def test_another_secret_is_no_rotation(
    api_server: ApiServer, namespace: str, kube: Client, world: World, controller: Controller
) -> None:
    key = PoolKey(namespace, "orders")
    for number, name in enumerate(("queue-db", "other-db")):
        data = {"url": base64.b64encode(f"postgresql://u@127.0.0.1:{number + 1}/q".encode()).decode()}
        api_server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}, namespace)
    api_server.apply(POOL, namespace)
    world.put(POOLS, await kube.get(POOLS, *key))
    await controller.reconcile(key)
    moved = {"spec": {"source": {"postgres": {"urlSecretRef": {"name": "other-db"}}}}}
    world.put(POOLS, await kube.merge(POOLS, *key, moved))
    await controller.reconcile(key)
    events = api_server.json("get", "events", f"--namespace={namespace}")["items"]
    assert "SecretRotated" not in {event["reason"] for event in events}
