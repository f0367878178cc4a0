"""Backlogs on a real broker: at once where it can be, late where it must be, unknown where nobody says it."""

import asyncio

import pytest
from aiormq.abc import DeliveredMessage

from tests.support.backlog_stage import Stage, client, endpoint_of, staged
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.rabbitmq import WAITS, dead, lanes, wait_arguments

pytestmark = pytest.mark.rabbitmq


async def test_jobs_of_all_lanes_are_ready_at_once(vhost: Vhost) -> None:
    """The management API's counts come seconds later."""
    async with staged(vhost) as stage:
        assert await stage.read() == Backlog(0)
        for count, name in enumerate(lanes("q"), 1):
            await stage.client.publish(name, count)
        await stage.client.publish(dead("q"), 2)
        found = await stage.read()
        assert isinstance(found, Backlog)
        assert (found.ready, found.dead, found.age) == (6, 2, 0.0)


async def test_a_queue_that_nobody_declared_is_empty_and_says_so(vhost: Vhost) -> None:
    async with staged(vhost) as stage:
        found = await stage.read("never")
        assert isinstance(found, Backlog)
        assert (found.ready, found.in_flight, found.in_flight_unknown) == (0, 0, "")
        assert "queue never does not exist" in found.undeclared
        await stage.client.declare("never")
        await stage.client.publish("never")
        again = await stage.read("never")
        assert isinstance(again, Backlog)
        assert (again.ready, again.undeclared) == (1, "")


async def test_a_queue_that_can_not_be_asked_for_leaves_the_others_alone(vhost: Vhost) -> None:
    async with staged(vhost, endpoint_of(vhost, management=False, prometheus=False)) as stage:
        await stage.client.publish("q")
        await stage.client.channel.queue_declare("mine", exclusive=True)
        found = await stage.reader.read(["größe", "mine", "q"])
        for queue, words in (("größe", "letters, digits"), ("mine", "RESOURCE_LOCKED")):
            answer = found[queue]
            assert isinstance(answer, Unknown)
            assert words in answer.reason
        assert found["q"] == Backlog(1)


async def test_what_runners_report_is_in_flight_at_once(vhost: Vhost) -> None:
    async with staged(vhost) as stage:
        await stage.read()
        await stage.client.publish("q", 5)
        await stage.client.take("q", 3)
        await stage.client.report("q", 3, completed={"q": 7})
        found = await stage.until(lambda it: it.in_flight == 3 and not it.age)
        assert (found.ready, found.in_flight_unknown) == (2, "")
        reports = await stage.reader.runners(["q", "other"])
        assert not isinstance(reports, Unknown)
        assert [(it.name, it.busy, it.slots) for it in reports["q"]] == [("pod-1", 3, 4)]
        assert reports["other"] == ()
        await stage.client.settle()
        await stage.client.report("q", 0, completed={"q": 10})
        after = await stage.until(lambda it: it.completed == 3)
        assert after.in_flight == 0
        await stage.client.report("q", gone=True)
        await eventually(lambda: _hears(stage), "the runner is forgotten")


async def test_runners_are_asked_for_a_report_by_a_reader_that_is_new(vhost: Vhost) -> None:
    async with staged(vhost) as stage:
        await stage.read()
        asked: list[bytes] = []
        heard = asyncio.Event()

        async def arrived(message: DeliveredMessage) -> None:
            asked.append(message.body)
            heard.set()

        declared = await stage.client.channel.queue_declare("", exclusive=True)
        await stage.client.channel.queue_bind(str(declared.queue), "workerpool.control")
        await stage.client.channel.basic_consume(str(declared.queue), arrived, no_ack=True)
        async with staged(vhost) as other:
            await other.read()
            async with asyncio.timeout(45):
                await heard.wait()
        assert asked == [b'{"kind": "report"}']


async def test_a_consumer_that_reports_nothing_is_counted_by_the_management_api(vhost: Vhost) -> None:
    async with staged(vhost) as stage:
        await stage.client.publish("q", 5)
        await stage.client.take("q", 3)
        found = await stage.until(lambda it: it.in_flight == 3)
        assert found.ready == 2
        assert found.age > 0
        await stage.client.settle()
        await stage.until(lambda it: it.in_flight == 2 and it.completed >= 3)


async def test_prometheus_stands_in_for_the_management_api(vhost: Vhost) -> None:
    async with staged(vhost, endpoint_of(vhost, management=False)) as stage:
        await stage.client.publish("q", 5)
        await stage.client.take("q", 3)
        found = await stage.until(lambda it: it.in_flight == 3)
        assert (found.ready, found.in_flight_unknown) == (2, "")


async def test_with_amqp_alone_the_consumers_decide_whether_in_flight_is_known(vhost: Vhost) -> None:
    async with staged(vhost, endpoint_of(vhost, management=False, prometheus=False)) as stage:
        await stage.client.publish("q", 2)
        found = await stage.read()
        assert isinstance(found, Backlog)
        assert (found.ready, found.in_flight_unknown) == (2, "")
        async with client(vhost.url) as stranger:
            await stranger.take("q", 1)
            found = await stage.until(lambda it: it.in_flight_unknown)
            assert (found.ready, found.in_flight) == (1, 0)
            assert "1 of the consumers of queue q do not say what they hold" in found.in_flight_unknown
            assert "spec.source.rabbitmq.management" in found.in_flight_unknown
            await stage.client.report("q", 1, name="pod-2")
            await stage.until(lambda it: not it.in_flight_unknown and it.in_flight == 1)


async def test_the_management_api_alone_is_late_and_hears_no_runner(vhost: Vhost) -> None:
    endpoint = endpoint_of(vhost, management=True)
    away = type(endpoint)(
        endpoint.url.replace(f":{vhost.broker.amqp_port}/", ":9/"),
        management=endpoint.management,
        prometheus=endpoint.prometheus,
    )
    async with staged(vhost, away) as stage:
        await stage.client.publish("q", 4)
        found = await stage.until(lambda it: it.ready == 4)
        assert found.age >= 9
        reports = await stage.reader.runners(["q"])
        assert isinstance(reports, Unknown)
        assert "can't be reached" in reports.reason


async def test_delayed_jobs_are_counted_where_one_queue_has_them(vhost: Vhost) -> None:
    async with staged(vhost) as stage:
        for wait in WAITS:
            await stage.client.channel.queue_declare(wait.name, durable=True, arguments=wait_arguments(wait.seconds))
        await stage.client.publish(WAITS[-1].name, 2)
        await stage.until(lambda it: it.delayed == 2)
        await stage.client.declare("second")
        await stage.until(lambda it: it.delayed is None)


async def test_a_runner_that_consumes_and_a_queue_without_consumers_contradict_each_other(vhost: Vhost) -> None:
    """A quorum queue without a leader says: no messages, no consumers."""
    async with staged(vhost, endpoint_of(vhost, management=False, prometheus=False)) as stage:
        await stage.read()
        await stage.client.report("q", 0)
        assert "queue q has no leader that answers" in await stage.until_unknown()
    async with staged(vhost) as stage:
        await stage.read()
        await stage.client.report("q", 0)
        await eventually(lambda: _hears(stage, "pod-1"), "the runner is heard")
        await stage.until(lambda it: it == Backlog(0))


async def test_the_connection_is_opened_again_after_an_operator_closed_it(vhost: Vhost) -> None:
    async with staged(vhost) as stage:
        assert isinstance(await stage.read(), Backlog)
        await asyncio.to_thread(vhost.close_connections)
        async with client(vhost.url) as other:
            await other.publish("q", 3)
            await stage.until(lambda it: it.ready == 3 and not it.age)
            await other.report("q", 0)
            await eventually(lambda: _hears(stage, "pod-1"), "the runner is heard")


async def _hears(stage: Stage, *names: str) -> bool:
    return await stage.heard() == list(names)
