"""A job that is held longer than the broker's consumer timeout: it runs again, and the log says why and the cure."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.integration.rabbitmq.sources import consumer, publish
from tests.support.rabbitmq import Broker, Vhost
from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.outcome import SUCCEEDED
from workerpool.sources.base import Settlement

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def impatient(rabbitmq_broker: Broker, vhost: Vhost) -> Iterator[Vhost]:
    """A virtual host whose channels hold a message for a second, looked at twice a second; longer ones afterwards."""
    _wait(rabbitmq_broker, timeout=1000, tick=500)
    try:
        yield vhost
    finally:
        _wait(rabbitmq_broker, timeout=1_800_000, tick=60_000)


async def test_the_log_names_the_timeout_and_the_cure(impatient: Vhost, caplog: pytest.LogCaptureFixture) -> None:
    async with consumer(impatient) as worker:
        link = worker.source.holding.link
        link.endpoint = replace(link.endpoint, job_timeout=900.0)
        await publish(impatient, "orders", b"1")
        job = await worker.soon()

        async def told() -> bool:
            return worker.fenced == [job]

        await eventually(told, "the broker ends the channel")
        assert (
            "1 jobs are lost with their channel: a job was held longer than the broker's consumer timeout of 1 s, "
            "which ended the channel (the job timeout is 900 s); let jobs end sooner" in caplog.text
        )
        assert "`consumer_timeout = 1500000` in rabbitmq.conf" in caplog.text

        async def settled() -> bool:
            # A busy machine may hold it too long again.
            again = await worker.soon()
            try:
                return not await worker.source.settle([Settlement(again, SUCCEEDED, 0.1, "w")])
            except SourceUnavailable:
                return False

        await eventually(settled, "it runs again")


def _wait(broker: Broker, *, timeout: int, tick: int) -> None:
    """How long channels that are opened from now on hold a message, and how often they look (milliseconds)."""
    broker.ctl(
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {timeout}), "
        f"application:set_env(rabbit, channel_tick_interval, {tick}).",
    )
