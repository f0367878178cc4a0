"""The operator's pages: metrics that come and go with pools, and answers that say what is wrong."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import Condition, ConditionStatus, ConditionType, WorkerPoolStatus
from workerpool_operator.health import HealthServer
from workerpool_operator.metrics import Metrics, PoolFigures

POOL = WorkerPool.model_validate(
    {
        "apiVersion": "workerpool.dev/v1",
        "kind": "WorkerPool",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"source": {"postgres": {"queue": "orders"}}, "worker": {"app": "shop.workers"}},
    }
)
READY = Condition(type=ConditionType.READY, status=ConditionStatus.TRUE, reason="ReplicasReady")
LABELS = 'namespace="shop",pool="orders"'


def page(metrics: Metrics) -> str:
    return metrics.page().decode()


def shown(reading: Backlog | Unknown) -> Metrics:
    metrics = Metrics()
    status = WorkerPoolStatus(desired_replicas=3, ready_replicas=2, conditions=(READY,))
    metrics.show("shop", "orders", PoolFigures(POOL, status, reading, 3))
    return metrics


def test_a_pool_is_shown() -> None:
    text = page(shown(Backlog(ready=7, in_flight=2, dead=1, oldest_age=1.5)))
    for line in (
        f"workerpool_pool_desired_replicas{{{LABELS}}} 3.0",
        f"workerpool_pool_ready_replicas{{{LABELS}}} 2.0",
        f"workerpool_pool_max_replicas{{{LABELS}}} 10.0",
        f"workerpool_pool_backlog_known{{{LABELS}}} 1.0",
        f"workerpool_pool_backlog_ready{{{LABELS}}} 7.0",
        f"workerpool_pool_backlog_in_flight{{{LABELS}}} 2.0",
        f"workerpool_pool_dead_letters{{{LABELS}}} 1.0",
        f"workerpool_pool_oldest_age_seconds{{{LABELS}}} 1.5",
        f'workerpool_pool_condition{{{LABELS},status="True",type="Ready"}} 1.0',
    ):
        assert line in text.splitlines()


def test_an_unknown_backlog_is_absent_not_zero() -> None:
    text = page(shown(Unknown("away")))
    assert f"workerpool_pool_backlog_known{{{LABELS}}} 0.0" in text
    assert "workerpool_pool_backlog_ready{" not in text


def test_of_a_pool_whose_spec_is_unusable_only_the_status_is_shown() -> None:
    metrics = shown(Backlog(ready=7))
    stalled = Condition(type=ConditionType.STALLED, status=ConditionStatus.TRUE, reason="InvalidSpec")
    status = WorkerPoolStatus(desired_replicas=3, conditions=(stalled,))
    metrics.show("shop", "orders", PoolFigures(None, status, None, None))
    lines = [line for line in page(metrics).splitlines() if line.startswith("workerpool_pool_")]
    assert lines == [
        f"workerpool_pool_desired_replicas{{{LABELS}}} 3.0",
        f"workerpool_pool_ready_replicas{{{LABELS}}} 0.0",
        f'workerpool_pool_condition{{{LABELS},status="True",type="Stalled"}} 1.0',
    ]


def test_a_pool_that_is_gone_leaves_nothing() -> None:
    metrics = shown(Backlog(ready=7))
    metrics.forget("shop", "orders")
    metrics.forget("shop", "orders")
    assert LABELS not in page(metrics)


@pytest.fixture
def wrong() -> dict[str, str | None]:
    return {"live": None, "ready": None}


@pytest.fixture
async def url(wrong: dict[str, str | None]) -> AsyncIterator[str]:
    server = HealthServer(Metrics(), live=[lambda: wrong["live"]], ready=[lambda: wrong["ready"]])
    yield f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
    await server.close()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_health_says_what_is_wrong(url: str, wrong: dict[str, str | None]) -> None:
    assert await get(f"{url}/healthz") == (200, "ok\n")
    assert await get(f"{url}/readyz") == (200, "ok\n")
    wrong["ready"] = "not listed yet"
    assert await get(f"{url}/healthz") == (200, "ok\n")
    assert await get(f"{url}/readyz") == (503, "not listed yet\n")
    wrong["live"] = "stuck"
    assert await get(f"{url}/healthz") == (503, "stuck\n")


async def test_metrics_are_served(url: str) -> None:
    status, text = await get(f"{url}/metrics")
    assert status == 200
    assert "workerpool_reconcile_seconds_count 0.0" in text
