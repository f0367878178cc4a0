"""The end of a look into a queue, with a broker that takes its time."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aiormq.abc import AbstractChannel
from pamqp.commands import Queue

from workerpool.sources.rabbitmq import browsing
from workerpool.sources.rabbitmq.browsing import Browser


class SlowQueue:
    """A channel to a queue that says these numbers of ready messages, one after the other."""

    is_closed = False

    def __init__(self, ready: Sequence[int], consumers: int = 0) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = list(ready)
        self.consumers = consumers
        self.returned: list[int] = []

    async def basic_nack(self, tag: int, **_: object) -> None:
        self.returned.append(tag)

    async def queue_declare(self, name: str, **_: object) -> Queue.DeclareOk:
        return Queue.DeclareOk(name, self.ready.pop(0) if len(self.ready) > 1 else self.ready[0], self.consumers)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsing, "RETURNING", (0.0,) * 5)


async def look(channel: SlowQueue, *, requeue: bool = True) -> None:
    """Three messages are taken and given back."""
    browser = Browser(cast("AbstractChannel", channel), "orders", "orders.dead", 3, requeue=requeue)
    held: Any = browser
    held._held.append({1, 2, 3})
    await browser.give_back()
    assert channel.returned == [3]


async def test_a_look_ends_when_the_next_one_finds_what_was_given_back() -> None:
    channel = SlowQueue([0, 0, 2, 3, 4])
    await look(channel)
    assert channel.ready == [4]


async def test_it_waits_for_none_that_a_consumer_takes() -> None:
    channel = SlowQueue([0, 0, 0, 0, 4], consumers=1)
    await look(channel)
    assert len(channel.ready) == 3


async def test_it_waits_for_none_that_goes_elsewhere() -> None:
    channel = SlowQueue([0, 0, 0, 4])
    await look(channel, requeue=False)
    assert len(channel.ready) == 3


async def test_it_does_not_wait_for_ever() -> None:
    await look(SlowQueue([0]))
