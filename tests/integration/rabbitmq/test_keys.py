"""Unique keys on a real broker: one holder at a time, whoever dies when."""

import asyncio

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from workerpool.sources.rabbitmq import keys as module
from workerpool.sources.rabbitmq.keys import Keys, Request, marker
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.sending import Sender

pytestmark = pytest.mark.rabbitmq

ID = 222_742_436_777_648_128
"""As large as ids are."""


async def mark(link: Link, key: str, id_: int) -> None:
    """The job of this key is on the broker."""
    await Sender(link).send([marker("orders", key, id_)])


async def test_a_key_is_had_once_and_everybody_is_told_by_whom(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        keys = Keys(watched.link)
        assert await keys.claim([Request("orders", "k", ID), Request("orders", "k", ID + 1)]) == [None, ID]
        await mark(watched.link, "k", ID)
        others = [Request("orders", "l", ID + 2), Request("orders", "k", ID + 3), Request("parcels", "k", ID + 4)]
        assert await keys.claim(others) == [None, ID, None]
        assert await keys.claim([Request("orders", "k", ID + 5, delay=90 * 86_400)]) == [ID]


async def test_released_it_is_free_and_only_its_holder_releases_it(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        keys = Keys(watched.link)
        await keys.claim([Request("orders", "k", ID, delay=3 * 86_400), Request("orders", "far", ID, delay=1e8)])
        await mark(watched.link, "k", ID)
        await keys.release([("orders", "k", ID + 1), ("orders", "never", ID)])
        assert await keys.claim([Request("orders", "k", ID + 1)]) == [ID]
        await keys.release([("orders", "k", ID), ("orders", "far", ID)])
        await keys.release([("orders", "k", ID)])
        assert vhost.api("GET", "queues/{}?disable_stats=true") == []
        assert await keys.claim([Request("orders", "k", ID + 1)]) == [None]


async def test_of_many_at_once_one_gets_it(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        keys = Keys(watched.link)

        async def want(number: int) -> int | None:
            [owner] = await keys.claim([Request("orders", "k", ID + number)])
            if owner is None:
                await mark(watched.link, "k", ID + number)
            return owner

        owners = await asyncio.gather(*(want(number) for number in range(8)))
        assert owners.count(None) == 1
        assert {owner for owner in owners if owner is not None} == {ID + owners.index(None)}


async def test_a_key_whose_job_never_came_is_taken_over(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABANDONED", 0.3)
    async with linked(vhost.url) as watched:
        keys = Keys(watched.link)
        assert await keys.claim([Request("orders", "k", ID)]) == [None]
        assert await keys.claim([Request("orders", "k", ID + 1)]) == [None]
        await mark(watched.link, "k", ID + 1)
        assert await keys.claim([Request("orders", "k", ID + 2)]) == [ID + 1]


async def test_whoever_waits_for_a_key_gets_it_when_it_is_given_up(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        keys = Keys(watched.link)
        await keys.claim([Request("orders", "k", ID)])
        waiting = asyncio.create_task(keys.claim([Request("orders", "k", ID + 1)]))
        await asyncio.wait([waiting], timeout=0.1)
        await keys.release([("orders", "k", ID)])
        assert await waiting == [None]


@pytest.mark.parametrize(("delay", "days"), [(0.0, 8), (60.0, 8), (86_401.0, 9), (42 * 86_400.0, 49), (4e6, None)])
def test_a_key_is_kept_for_a_week_beyond_the_delay(delay: float, days: int | None) -> None:
    assert module.expiry(delay) == (None if days is None else days * module.DAY)
