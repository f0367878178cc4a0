"""Jobs that wait for a queue which somebody deletes: they hold up nobody, are kept, and come back into their queue."""

import logging
import time
from collections.abc import AsyncIterator, Iterable

import pytest

from tests.integration.rabbitmq.sources import consumer
from tests.support.rabbitmq import Vhost
from tests.support.rabbitqueues import depths, taken
from tests.support.rabbitstand import Stand, stand
from tests.support.waiting import eventually
from workerpool.outcome import SUCCEEDED
from workerpool.sources.administration import JobState
from workerpool.sources.base import NewJob, Settlement
from workerpool.sources.rabbitmq import unrouted
from workerpool.sources.rabbitmq.admin import RabbitmqAdmin
from workerpool.sources.rabbitmq.endpoint import Endpoint
from workerpool.sources.rabbitmq.envelope import encode, new_envelope
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool_contract.rabbitmq import UNROUTED, WAITING, WAITS, lane, lanes

pytestmark = pytest.mark.rabbitmq

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
HELD = 32
"""Messages of a wait queue that the broker keeps in its hands until they are somewhere."""


@pytest.fixture
async def place(vhost: Vhost) -> AsyncIterator[Stand]:
    async with stand(vhost.url) as made:
        yield made


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runners look for such jobs all the time, ten at once."""
    monkeypatch.setattr(unrouted, "PAUSE", 0.0)
    monkeypatch.setattr(unrouted, "MOST", 10)


async def delete(vhost: Vhost, place: Stand, queue: str) -> None:
    """Removes the lanes of a queue that was there."""
    await place.subscribe(queue, queue)
    for name in lanes(queue):
        vhost.api("DELETE", f"queues/{{}}/{name}")


async def wait_for(place: Stand, queue: str, numbers: Iterable[int], seconds: float = 1.0) -> None:
    """Jobs in the ladder of waits, whether their lanes are there or not."""
    jobs = [NewJob(str(n), priority=n % 3 - 1, delay=seconds + n % 4) for n in numbers]
    made = [new_envelope(queue, place.ids.next(), job, time.time()) for job in jobs]
    await place.sender.send([Outgoing(WAITS[0].name, lane(queue, it.priority), *encode(it)) for it in made])


async def unrouted_are(place: Stand, count: int) -> None:
    """Until so many jobs found no lane, and nobody looks at them at the moment."""

    async def there() -> bool:
        return (await depths(place.url, UNROUTED))[UNROUTED] == count

    await eventually(there, f"{count} jobs in {UNROUTED}")


async def placed_are(place: Stand, queue: str, count: int) -> None:
    """Until so many jobs are in the lanes of a queue."""

    async def there() -> bool:
        return sum(found or 0 for found in (await depths(place.url, *lanes(queue))).values()) == count

    await eventually(there, f"{count} jobs in {queue}")


async def test_a_deleted_queue_holds_up_no_other_and_loses_no_job(vhost: Vhost, place: Stand) -> None:
    await delete(vhost, place, "parcels")
    await wait_for(place, "parcels", range(3 * HELD))
    async with consumer(vhost, "orders") as other:
        (sent,) = await place.send("orders", NewJob("1", delay=2.5))
        job = await other.soon()
        assert job.id == sent
        assert await other.source.settle([Settlement(job, SUCCEEDED, 0.1, "w")]) == []

        async def back() -> bool:
            return None not in (await depths(place.url, *lanes("parcels"))).values()

        await eventually(back, "the lanes of the deleted queue")
        async with consumer(vhost, "parcels", slots=3 * HELD) as worker:
            found = [await worker.soon("parcels") for _ in range(3 * HELD)]
            assert sorted(int(it.payload) for it in found) == list(range(3 * HELD))
            assert await worker.source.settle([Settlement(it, SUCCEEDED, 0.1, "w") for it in found]) == []
    assert set((await depths(place.url, *lanes("parcels"), *WAITING)).values()) == {0}


async def test_a_job_comes_back_as_it_was(vhost: Vhost, place: Stand) -> None:
    await delete(vhost, place, "parcels")
    sent = Outgoing(
        WAITS[0].name, "parcels.low", b'{"n": 1}', {"workerpool-id": 7, "mine": "x"}, content_type="text/json"
    )
    await place.sender.send([sent])
    await unrouted_are(place, 1)
    (lost,) = await taken(place.url, UNROUTED)
    assert "x-death" in lost.headers
    async with consumer(vhost, "orders"):
        # What it looks at is in no queue for a moment, so that an empty one says little.
        await placed_are(place, "parcels", 1)
        await unrouted_are(place, 0)
    (it,) = await taken(place.url, "parcels.low", 1)
    headers = {name: value for name, value in it.headers.items() if name != "x-delivery-count"}
    assert (it.body, headers, it.content_type) == (sent.body, sent.headers, sent.content_type)


@pytest.mark.usefixtures("often")
async def test_what_may_not_be_declared_is_kept_told_once_and_stops_nobody(
    vhost: Vhost, place: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    # With a limit the broker drops what was looked at too often, and puts it back before everything else.
    limit = {"pattern": f"^{UNROUTED}$", "definition": {"delivery-limit": 3}, "apply-to": "queues"}
    vhost.api("PUT", "policies/{}/limit", limit)
    for queue in ("parcels", "orders"):
        await delete(vhost, place, queue)
    async with consumer(vhost, "mail"):
        vhost.api("PUT", f"permissions/{{}}/{vhost.user}", EVERYTHING | {"configure": "^(orders|workerpool|amq).*$"})
        await wait_for(place, "parcels", range(35))
        await unrouted_are(place, 35)
        await wait_for(place, "orders", range(3))
        await placed_are(place, "orders", 3)
        await unrouted_are(place, 35)
        (warning,) = [it for it in caplog.records if it.levelno == logging.WARNING and UNROUTED in it.getMessage()]
        assert "jobs of queue 'parcels' wait" in warning.getMessage()
        assert "workerpool topology apply" in warning.getMessage()
        vhost.api("PUT", f"permissions/{{}}/{vhost.user}", EVERYTHING)
        await placed_are(place, "parcels", 35)
    await unrouted_are(place, 0)


@pytest.mark.usefixtures("often")
async def test_few_of_the_names_that_others_write_are_told_and_none_raw(
    vhost: Vhost, place: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unrouted, "MOST_TOLD", 3)
    await place.sender.send([Outgoing(UNROUTED, f"workerpool.\n{n}", b"1", {}) for n in range(12)])

    def told() -> list[str]:
        return [it.getMessage() for it in caplog.records if "since they can't go there" in it.getMessage()]

    async with consumer(vhost, "mail"):
        await delete(vhost, place, "parcels")
        await place.sender.send([Outgoing(UNROUTED, "parcels", b"1", {})])
        await placed_are(place, "parcels", 1)
    assert len(told()) == 3
    assert not any("\n" in it for it in told())


@pytest.mark.usefixtures("often")
async def test_the_queue_of_these_jobs_is_made_again(vhost: Vhost) -> None:
    async with consumer(vhost):
        vhost.api("DELETE", f"queues/{{}}/{UNROUTED}")

        async def back() -> bool:
            return (await depths(vhost.url, UNROUTED))[UNROUTED] is not None

        await eventually(back, UNROUTED)
    bound = {it["source"] for it in vhost.api("GET", f"queues/{{}}/{UNROUTED}/bindings")}
    assert UNROUTED in bound


async def test_these_jobs_are_listed_and_can_be_cancelled(vhost: Vhost, place: Stand) -> None:
    await delete(vhost, place, "parcels")
    await wait_for(place, "parcels", [0], seconds=60)
    await unrouted_are(place, 1)
    async with RabbitmqAdmin(Endpoint(vhost.url)) as admin:
        (row,) = await admin.jobs("parcels", JobState.DELAYED, 10)
        assert (row.queue, row.priority) == ("parcels", -1)
        assert (await admin.cancel(row.id)).changed
    await unrouted_are(place, 0)
