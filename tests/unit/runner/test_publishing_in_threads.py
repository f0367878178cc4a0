"""Handlers in threads send messages: async ones, which have a loop of their own there, and sync ones without any."""

import asyncio
import threading
from typing import Any

import pytest

from workerpool.context import JobContext
from workerpool.errors import ConfigError, LeaseLost
from workerpool.producer import get_producer, publish
from workerpool.sources.base import Job
from workerpool.testing import TestBroker
from workerpool.worker import worker


@pytest.fixture
def engine_threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads in which the broker's publisher was called."""
    seen: set[int] = set()
    from workerpool.sources.memory.source import MemoryPublisher

    original = MemoryPublisher.enqueue

    async def enqueue(self: Any, *arguments: Any) -> Any:
        seen.add(threading.get_ident())
        return await original(self, *arguments)

    monkeypatch.setattr(MemoryPublisher, "enqueue", enqueue)
    return seen


async def test_a_sync_handler_publishes_through_its_context(engine_threads: set[int]) -> None:
    ids: list[int] = []

    @worker(topic="orders")
    def split(order: int, ctx: JobContext) -> None:
        ids.append(ctx.blocking.publish("parts", order + 1, priority=5).id)

    async with TestBroker(split) as broker:
        await broker.publish("orders", 1)
        await broker.run_until_idle()
        [part] = broker.jobs("parts")
        assert (part.id, part.payload, part.priority) == (ids[0], 2, 5)
    assert engine_threads == {threading.get_ident()}


async def test_an_async_handler_in_a_thread_publishes_in_every_way(engine_threads: set[int]) -> None:
    @worker(topic="orders", executor="thread")
    async def split(order: int, ctx: JobContext) -> None:
        assert threading.current_thread() is not threading.main_thread()
        await ctx.publish("parts", 1)
        await publish("parts", 2)
        await get_producer().send("parts", 3)
        await get_producer().enqueue_many("parts", [4, 5])
        await get_producer().enqueue_bulk("parts", [6])

    async with TestBroker(split) as broker:
        await broker.publish("orders", 1)
        await broker.run_until_idle()
        assert broker.messages("parts") == [1, 2, 3, 4, 5, 6]
    assert engine_threads == {threading.get_ident()}


async def test_a_refused_message_is_the_handlers_error() -> None:
    @worker(topic="orders", max_retries=0)
    def split(order: int, ctx: JobContext) -> None:
        ctx.blocking.publish("parts", order, priority=101)

    async with TestBroker(split) as broker:
        await broker.publish("orders", 1)
        await broker.run_until_idle()
        [dead] = broker.dead_letters()
        assert "priority: 101" in dead.error


async def test_an_attempt_that_is_over_sends_nothing() -> None:
    contexts: list[JobContext] = []

    @worker(topic="orders")
    async def keep(order: int, ctx: JobContext) -> None:
        contexts.append(ctx)

    async with TestBroker(keep) as broker:
        await broker.publish("orders", 1)
        await broker.run_until_idle()
        with pytest.raises(LeaseLost, match="is over"):
            await contexts[0].publish("parts", 1)
        assert broker.messages("parts") == []


async def test_a_context_without_a_runner_says_so() -> None:
    job = Job("orders", 1, 0, 0, 0, "1", None, 0.0, False, None)
    context = JobContext(job, worker="w", max_retries=3, sink=None)  # type: ignore[arg-type]  # not used
    with pytest.raises(ConfigError, match="TestBroker"):
        await context.publish("parts", 1)


async def test_blocking_publish_on_the_loop_is_refused_not_hung() -> None:
    @worker(topic="orders", max_retries=0)
    async def split(order: int, ctx: JobContext) -> None:
        ctx.blocking.publish("parts", order)

    async with TestBroker(split) as broker:
        await broker.publish("orders", 1)
        async with asyncio.timeout(10):
            await broker.run_until_idle()
        assert "would block the event loop" in broker.dead_letters()[0].error
