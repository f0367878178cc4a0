"""A limit of deliveries for all queues ends no job that waits for its lane, however often somebody looks at it.

The broker counts each look, and no argument of a queue lifts the limit of a policy.
"""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.rabbitmq.sources import consumer
from tests.integration.rabbitmq.test_unrouted import delete, placed_are
from tests.support.rabbitmq import Broker, Vhost
from tests.support.rabbitqueues import depths
from tests.support.rabbitstand import Stand, stand
from tests.support.waiting import eventually
from workerpool.errors import SourceUnavailable
from workerpool.sources.administration import JobState
from workerpool.sources.rabbitmq import unrouted
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.admin_doctor import examine
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.outgoing import Fate, Outgoing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.unrouted import Round, Unrouted
from workerpool_contract.rabbitmq import UNROUTED, UNROUTED_AGAIN

pytestmark = pytest.mark.rabbitmq

LIMIT = 2
LOOKS = 4 * (LIMIT + 1)
"""Enough to go round more than once."""
MOST = 20_000
SIZE = "application:get_env(rabbit, max_message_size)."


@pytest.fixture
async def place(vhost: Vhost) -> AsyncIterator[Stand]:
    """A queue that was deleted, on a virtual host that limits the deliveries of all queues."""
    policy = {"pattern": ".*", "definition": {"delivery-limit": LIMIT}, "apply-to": "queues"}
    vhost.api("PUT", "policies/{}/limit", policy)
    async with stand(vhost.url) as made:
        await delete(vhost, made, "parcels")
        yield made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Runners look all the time; one for each look."""
    monkeypatch.setattr(unrouted, "PAUSE", 0.0)
    seen: list[None] = []
    really = Unrouted.place

    async def counted(self: Unrouted) -> Round:
        seen.append(None)
        return await really(self)

    monkeypatch.setattr(Unrouted, "place", counted)
    return seen


@contextmanager
def takes(broker: Broker, most: int) -> Iterator[None]:
    """Channels that are opened meanwhile take messages of so many bytes."""

    def say(size: int) -> None:
        text = f"application:set_env(rabbit, max_message_size, {size}), persistent_term:put(max_message_size, {size})."
        broker.ctl("eval", text)

    found = re.search(r"\d+", broker.ctl("eval", SIZE))
    assert found is not None
    say(most)
    try:
        yield
    finally:
        say(int(found[0]))


async def waits(place: Stand) -> None:
    """Until one job waits for its lane, and nobody looks at it."""

    async def there() -> bool:
        return sorted((await depths(place.url, UNROUTED, UNROUTED_AGAIN)).values(), key=str) == [0, 1]

    await eventually(there, "one job without a lane")


async def looked_often(looks: list[None]) -> None:
    async def done() -> bool:
        return len(looks) >= LOOKS

    await eventually(done, f"{LOOKS} looks")


async def test_no_look_of_a_command_ends_a_job(vhost: Vhost, place: Stand) -> None:
    await place.sender.send([Outgoing(UNROUTED, "parcels.low", b"1", {"workerpool-id": 7})])
    for _ in range(LOOKS // 2):
        await waits(place)
        async with RabbitmqAdmin(Endpoint(vhost.url)) as admin:
            assert [row.queue for row in await admin.jobs("parcels", JobState.DELAYED, 10)] == ["parcels"]
        await waits(place)
        (check,) = [it async for it in examine(Endpoint(vhost.url), None) if it.name == "unrouted"]
        assert check.detail == f"1 jobs wait in {UNROUTED} for queues that were gone: parcels"
    await waits(place)
    async with RabbitmqAdmin(Endpoint(vhost.url)) as admin:
        assert (await admin.cancel(7)).changed


async def test_a_job_too_large_for_the_broker_waits_until_it_is_taken(
    vhost: Vhost, rabbitmq_broker: Broker, place: Stand, looks: list[None], caplog: pytest.LogCaptureFixture
) -> None:
    await place.sender.send([Outgoing(UNROUTED, "parcels", b'"%s"' % (b"x" * MOST), {})])
    with takes(rabbitmq_broker, MOST):
        async with consumer(vhost, "mail"):
            await looked_often(looks)
    await waits(place)
    assert not [it.getMessage() for it in caplog.records if it.levelno >= logging.ERROR]
    async with consumer(vhost, "mail"):
        await placed_are(place, "parcels", 1)


async def test_a_job_whose_lane_confirms_nothing_waits_until_it_does(
    vhost: Vhost, place: Stand, looks: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.sender.send([Outgoing(UNROUTED, "parcels", b"1", {})])
    really = Sender.outcomes

    async def silent(self: Sender, messages: list[Outgoing]) -> list[Fate]:
        if any(it.routing_key == "parcels" for it in messages):
            raise SourceUnavailable("no answer in time (waiting for confirms)")
        return await really(self, messages)

    async with consumer(vhost, "mail"):
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(Sender, "outcomes", silent)
            await looked_often(looks)
        await placed_are(place, "parcels", 1)
