"""Declaring: everything is there afterwards, repeating changes nothing, what differs is a warning and no more."""

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from workerpool.errors import ConfigError, SourceError
from workerpool.sources.rabbitmq import topology
from workerpool.sources.rabbitmq.declare import ensure_queue, ensure_shared, ensure_subscription
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool_contract.rabbitmq import LANE_EXCHANGE, WAITS, lanes, work_arguments

pytestmark = pytest.mark.rabbitmq


async def test_everything_is_there_afterwards_and_repeating_is_silent(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        for _ in range(2):
            assert await ensure_shared(watched.link) == []
            assert await ensure_subscription(watched.link, "mail", "mail@eu", 5) == []
    queues = {one["name"]: one["arguments"] for one in vhost.api("GET", "queues/{}")}
    wanted = topology.everything(["mail@eu"], 5, watched.link.version)
    assert queues == {one.name: one.arguments for one in wanted if isinstance(one, topology.Queue)}
    bound = {(one["source"], one["destination"], one["routing_key"]) for one in vhost.api("GET", "bindings/{}")}
    assert {(it.exchange, it.queue, it.key) for it in wanted if isinstance(it, topology.Binding)} <= bound


async def test_a_message_in_the_ladder_comes_back_to_the_queue_of_its_routing_key(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await ensure_shared(watched.link)
        await ensure_queue(watched.link, "mail", 20)
        await Sender(watched.link).send([Outgoing(WAITS[0].name, "mail.low", b"1", {"a": 1})])
        came: list[bytes] = []
        async with watched.link.scratch() as channel:
            while not came:
                message = await channel.basic_get("mail.low", no_ack=True)
                came += [message.body] if message.delivery_tag else []
        assert came == [b"1"]


async def test_the_queue_of_the_worker_before_is_used_as_it_is(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await ensure_shared(watched.link)
        async with watched.link.scratch() as channel:
            await channel.queue_declare(
                "raw_sessions", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 5}
            )
        (warning,) = await ensure_queue(watched.link, "raw_sessions", 20)
        assert "queue raw_sessions (quorum) exists with other arguments" in warning
        assert (
            "used as it is: x-dead-letter-exchange is not set; it should be the default exchange, and 4 more" in warning
        )
        assert "unless a policy sets it, `workerpool topology plan`" in warning
        names = {one["name"] for one in vhost.api("GET", "queues/{}") if not one["name"].startswith("workerpool.")}
        assert names == {"raw_sessions", "raw_sessions.high", "raw_sessions.low", "raw_sessions.dead"}
        bound = {one["destination"] for one in vhost.api("GET", f"exchanges/{{}}/{LANE_EXCHANGE}/bindings/source")}
        assert bound == set(lanes("raw_sessions"))


async def test_an_exchange_of_another_type_is_a_warning_too(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        async with watched.link.scratch() as channel:
            await channel.exchange_declare("workerpool.control", exchange_type="direct", durable=True)
        (warning,) = await ensure_shared(watched.link)
        assert "exchange workerpool.control (direct) exists with other arguments" in warning
        assert "type is direct; it should be fanout; `workerpool topology plan`" in warning


async def test_a_classic_queue_is_called_so(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        await ensure_shared(watched.link)
        vhost.api("PUT", "queues/{}/mail", {"durable": True, "arguments": {}})
        (warning,) = await ensure_queue(watched.link, "mail", 20)
        assert "queue mail (classic) exists" in warning
        assert "x-queue-type is classic; it should be quorum, and 3 more; `workerpool topology plan`" in warning


async def test_a_user_who_may_not_declare_uses_what_is_there(vhost: Vhost) -> None:
    rights = {"configure": "^$", "write": ".*", "read": ".*"}
    async with linked(vhost.url) as watched:
        await ensure_shared(watched.link)
        await ensure_queue(watched.link, "mail", 20)
        vhost.api("PUT", f"permissions/{{}}/{vhost.user}", rights)
        assert await ensure_shared(watched.link) == []
        assert await ensure_subscription(watched.link, "mail", "mail", 20) == []
        with pytest.raises(SourceError, match=r"queue post\.dead .*topology apply"):
            await ensure_queue(watched.link, "post", 20)
        vhost.api("PUT", f"permissions/{{}}/{vhost.user}", rights | {"write": "^$"})
        warnings = await ensure_subscription(watched.link, "mail", "mail", 20)
        assert len(warnings) == 6
        assert all("binding" in warning for warning in warnings)


async def test_names_that_can_not_be_are_refused_before_the_broker_is_asked(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        with pytest.raises(ConfigError, match=r"queue: 'amq\.x' begins"):
            await ensure_queue(watched.link, "amq.x", 20)
        assert watched.link.epoch == 1


async def test_crash_budgets_end_in_the_dead_letters_and_lose_nothing(vhost: Vhost) -> None:
    """What research left open: the strategy works as an argument, so a message moves when its budget is spent."""
    async with linked(vhost.url) as watched:
        await ensure_shared(watched.link)
        await ensure_queue(watched.link, "mail", 2)
        assert work_arguments("mail", 2)["x-dead-letter-strategy"] == "at-least-once"
        await Sender(watched.link).send([Outgoing("", "mail", b"1", {})])
        counts = []
        async with watched.link.scratch() as channel:
            while not (await channel.queue_declare("mail.dead", passive=True)).message_count:
                message = await channel.basic_get("mail")
                if message.delivery_tag is not None:
                    counts.append((message.header.properties.headers or {}).get("x-delivery-count") or 0)
                    await channel.basic_nack(message.delivery_tag, requeue=True)
            dead = await channel.basic_get("mail.dead")
        headers = dead.header.properties.headers or {}
        assert counts == [0, 1, 2]
        assert (dead.body, headers["x-first-death-reason"]) == (b"1", "delivery_limit")
