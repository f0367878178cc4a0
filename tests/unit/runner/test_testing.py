"""TestBroker runs the pipeline of a real runner in memory, under its own clock."""

import asyncio
import threading
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from workerpool.context import JobContext
from workerpool.errors import ConfigError, RetryableError, TerminalError
from workerpool.producer import get_producer, publish
from workerpool.retry import RetryPolicy
from workerpool.testing import StillRunning, TestBroker
from workerpool.worker import Worker, worker


class Order(BaseModel):
    id: int


class Invoice(BaseModel):
    order: int
    total: float = 9.5


async def test_a_job_runs_and_its_result_is_kept_and_published() -> None:
    @worker(topic="orders", output_topic="invoices", input_schema=Order, output_schema=Invoice)
    async def bill(order: Order) -> dict[str, Any]:
        return {"order": order.id}

    async with TestBroker(bill) as broker:
        sent = await broker.publish("orders", {"id": 7})
        [waiting] = broker.jobs("orders")
        assert (waiting.id, waiting.state, waiting.payload, waiting.due_in) == (sent.id, "ready", {"id": 7}, 0)
        assert await broker.run_until_idle() == 1
        assert broker.results("orders") == [{"order": 7, "total": 9.5}]
        assert broker.messages("invoices") == [{"order": 7, "total": 9.5}]
        assert [job.queue for job in broker.jobs()] == ["invoices"]


async def test_retries_follow_the_clock_and_end_as_a_dead_letter() -> None:
    errors = []

    @worker(
        topic="orders", dlq_topic="orders.dlq", max_retries=2, on_error=lambda _payload, error: errors.append(error)
    )
    async def fail(order: dict[str, Any]) -> None:
        raise RetryableError("no stock")

    async with TestBroker(fail) as broker:
        await broker.publish("orders", {"id": 7})
        assert await broker.run_until_idle() == 1
        [waiting] = broker.jobs("orders")
        assert (waiting.state, waiting.attempts, waiting.due_in) == ("delayed", 1, 1.0)
        broker.advance(0.5)
        assert await broker.run_until_idle() == 0
        broker.advance(0.5)
        assert await broker.run_until_idle() == 1
        broker.advance(2)
        assert await broker.run_until_idle() == 1
        [dead] = broker.dead_letters("orders")
        assert (dead.payload, dead.reason, dead.worker, dead.retries) == ({"id": 7}, "error", "fail", 2)
        [body] = broker.messages("orders.dlq")
        assert body == {"original": {"id": 7}, "error": "no stock", "worker": "fail", "retries": 2}
        assert [str(error) for error in errors] == ["no stock"]
        assert broker.now() == 3.0


async def test_the_clock_can_run_to_the_end_by_itself() -> None:
    seen: list[float] = []

    @worker(topic="orders", retry=RetryPolicy(max_retries=3, backoff="fixed"))
    async def third_time_lucky(order: int) -> int:
        seen.append(broker.now())
        if len(seen) < 3:
            raise RetryableError
        return order

    async with TestBroker(third_time_lucky) as broker:
        await broker.publish("orders", 1, delay=60)
        assert await broker.run_until_finished() == 3
        assert seen == [60, 65, 70]
        assert broker.results() == [1]


async def test_a_handler_over_its_time_is_cut_off_by_the_clock() -> None:
    started = asyncio.Event()

    @worker(topic="orders", timeout=30, max_retries=0)
    async def hang(order: int) -> None:
        started.set()
        await asyncio.Event().wait()

    async with TestBroker(hang) as broker:
        await broker.publish("orders", 1)
        async with broker.running():
            await started.wait()
            broker.advance(29)
            assert broker.jobs("orders")[0].state == "in flight"
            broker.advance(2)
        assert [job.reason for job in broker.dead_letters()] == ["timeout"]


async def test_a_handler_that_hangs_is_reported() -> None:
    @worker(topic="orders")
    async def hang(order: int) -> None:
        await asyncio.Event().wait()

    async with TestBroker(hang, patience=0.05) as broker:
        await broker.publish("orders", 1)
        with pytest.raises(StillRunning, match=r"hang \(1 running\)"):
            await broker.run_until_idle()


async def test_publishing_inside_handlers_stays_in_the_broker() -> None:
    @worker(topic="orders")
    async def split(order: int) -> None:
        await publish("parts", order)
        await get_producer().send("parts", order + 1)

    @worker(topic="parts")
    async def part(number: int) -> int:
        return number * 10

    async with TestBroker(split, part) as broker:
        await broker.publish("orders", 1)
        assert await broker.run_until_idle() == 3
        assert broker.messages("parts") == [1, 2]
        assert broker.results("parts") == [10, 20]


async def test_every_group_gets_a_message_and_classes_work_too() -> None:
    class Mail(Worker):
        input_topic = "orders"
        group_id = "mail"
        sent: list[int] = []  # noqa: RUF012 - one for all instances

        async def process(self, order: int) -> None:
            self.sent.append(order)

    @worker(topic="orders", group_id="stock")
    def reserve(order: int) -> int:
        return threading.get_ident()

    async with TestBroker(Mail, reserve) as broker:
        await broker.publish("orders", 5)
        await broker.run_until_idle()
        assert Mail.sent == [5]
        [thread] = broker.results("orders@stock")
        assert thread != threading.get_ident()


async def test_bad_payloads_become_dead_letters() -> None:
    @worker(topic="orders", input_schema=Order)
    async def bill(order: Order) -> None: ...

    async with TestBroker(bill) as broker:
        await broker.publish("orders", {"id": "seven"})
        await broker.run_until_idle()
        [dead] = broker.dead_letters("orders")
        assert dead.reason == "invalid"
        assert "id" in dead.error


async def test_options_of_a_message_hold() -> None:
    order: list[str] = []

    @worker(topic="orders", concurrency=1)
    async def note(name: str) -> None:
        order.append(name)

    async with TestBroker(note) as broker:
        await broker.publish("orders", "low")
        await broker.publish("orders", "high", priority=5)
        await broker.publish("orders", "late", delay=60)
        await broker.publish("orders", "gone", expires_in=30, delay=40)
        first = await broker.publish("orders", "once", unique_key="k")
        assert await broker.publish("orders", "once", unique_key="k") == (first.id, True)
        await broker.run_until_idle()
        broker.advance(60)
        await broker.run_until_idle()
    assert order == ["high", "low", "once", "late"]


async def test_progress_and_terminal_errors_are_recorded() -> None:
    @worker(topic="orders")
    async def load(order: int, ctx: JobContext) -> None:
        await ctx.update("reading", 10)
        raise TerminalError("no such order")

    async with TestBroker(load) as broker:
        sent = await broker.publish("orders", 1)
        await broker.run_until_idle()
        assert [(it.state, it.percent, it.attempt) for it in broker.events(sent.id)] == [("reading", 10, 1)]
        assert [job.reason for job in broker.dead_letters()] == ["terminal"]


async def test_leaving_the_broker_ends_what_runs_and_gives_the_producer_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKERPOOL_URL", raising=False)
    started, ended = asyncio.Event(), asyncio.Event()

    @worker(topic="orders")
    async def hang(order: int) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with TestBroker(hang) as broker:
        await broker.publish("orders", 1)
        task = asyncio.create_task(broker.run_until_idle())
        await started.wait()
        task.cancel()
    assert ended.is_set()
    with pytest.raises(ConfigError, match="WORKERPOOL_URL"):
        get_producer()


async def test_the_clock_never_runs_backwards() -> None:
    @worker(topic="orders")
    async def note(order: int) -> None: ...

    async with TestBroker(note) as broker:
        with pytest.raises(ConfigError, match="negative"):
            broker.advance(-1)


async def test_a_module_gives_its_workers() -> None:
    @worker(topic="orders")
    async def inside(order: int) -> None: ...

    @worker(topic="elsewhere")
    async def outside(order: int) -> None: ...

    shop = ModuleType("shop")
    vars(shop)["inside"] = inside
    async with TestBroker(shop) as broker:
        await broker.publish("orders", 1)
        await broker.publish("elsewhere", 1)
        assert await broker.run_until_idle() == 1


@pytest.mark.parametrize("app", [(), ("json",), (ModuleType("empty"),)], ids=["nothing", "name", "module"])
def test_an_app_without_workers_is_refused(app: tuple[object, ...]) -> None:
    with pytest.raises(ConfigError, match="needs workers"):
        TestBroker(*app)


def test_what_is_no_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a worker"):
        TestBroker(print)
