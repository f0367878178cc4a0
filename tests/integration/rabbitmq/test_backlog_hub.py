"""The hub on a real broker: sleeping pools wake without a push, many pools share a connection, outages heal."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.support.backlog_stage import client, endpoint_of
from tests.support.rabbitmq import PASSWORD, Vhost
from tests.support.waiting import DEADLINE, eventually
from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_operator.backlog.hub import Hub
from workerpool_operator.backlog.rabbitmq.reader import RabbitmqBacklog
from workerpool_operator.backlog.reader import Reader, Signals
from workerpool_operator.backlog.watch import GLANCE, Endpoint, Watch

pytestmark = pytest.mark.rabbitmq

NEVER = 3600.0


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[Hub[str], list[str]]]:
    """A hub, and whom it told."""
    told: list[str] = []
    made: Hub[str] = Hub(patient_reader, steady=time.monotonic, notify=told.append)
    try:
        yield made, told
    finally:
        await made.aclose()


def patient_reader(endpoint: Endpoint, signals: Signals) -> Reader:
    """The reader that operators have, which gives a slow machine more time."""
    return RabbitmqBacklog(endpoint, on_loss=signals.lost, timeout=DEADLINE)


def watch(endpoint: Endpoint, queue: str, interval: float = NEVER, *, asleep: bool = True) -> Watch:
    """A watch that polls hardly ever, so that a pool is told of what a glance found."""
    return Watch(endpoint, queue, interval, cap=1000, asleep=asleep, glance=GLANCE)


def reading(made: Hub[str], key: str) -> Reading | None:
    """The last reading of ``key``."""
    look = made.look(key)
    return None if look is None else look.reading


async def test_a_job_for_a_sleeping_pool_is_told_without_a_poll(vhost: Vhost) -> None:
    async with client(vhost.url) as publisher, hub() as (made, told):
        await publisher.declare("a")
        for name in ("a", "b"):
            made.follow(name, watch(endpoint_of(vhost), name))
        await eventually(lambda: _told(told, "a", "b"), "the first readings")
        told.clear()
        await publisher.publish("a.high")
        await eventually(lambda: _told(told, "a"), "the job")
        await eventually(lambda: _ready(made, 1), "its reading")
        assert set(told) == {"a"}


async def test_many_pools_share_one_connection_and_one_bad_one_stays_alone(vhost: Vhost) -> None:
    endpoint = endpoint_of(vhost)
    wrong = replace(endpoint, url=endpoint.url.replace("@127", "x@127", 1), management=None)
    async with hub() as (made, told):
        for number in range(40):
            made.follow(f"p{number}", watch(endpoint, f"q{number}", asleep=False))
        made.follow("wrong", watch(wrong, "q0", asleep=False))
        await eventually(lambda: _told(told, "p39", "wrong"), "the readings")
        await eventually(lambda: _known(made, *(f"p{number}" for number in range(40))), "forty backlogs")
        found = reading(made, "wrong")
        assert isinstance(found, Unknown)
        assert "refused the login; check user and password" in found.reason
        assert PASSWORD not in found.reason

        async def one_connection() -> bool:
            names = [it["client_properties"].get("connection_name") for it in vhost.api("GET", "vhosts/{}/connections")]
            assert len(names) <= 1
            return names == ["workerpool operator"]

        await eventually(one_connection, "the connection in the broker's list")


async def test_a_lost_connection_is_opened_again_at_once(vhost: Vhost) -> None:
    async with client(vhost.url) as publisher, hub() as (made, told):
        await publisher.declare("a")
        made.follow("a", watch(endpoint_of(vhost), "a", asleep=False))
        await eventually(lambda: _told(told, "a"), "the first reading")
        before = made.look("a")
        assert before is not None
        await asyncio.to_thread(vhost.close_connections)
        await eventually(lambda: _later(made, before.at), "a reading after the loss, long before the next poll")


async def _told(told: list[str], *names: str) -> bool:
    return set(names) <= set(told)


async def _ready(made: Hub[str], count: int) -> bool:
    found = reading(made, "a")
    return isinstance(found, Backlog) and found.ready == count


async def _known(made: Hub[str], *names: str) -> bool:
    return all(isinstance(reading(made, name), Backlog) for name in names)


async def _later(made: Hub[str], at: float) -> bool:
    look = made.look("a")
    return look is not None and look.at > at and isinstance(look.reading, Backlog)
