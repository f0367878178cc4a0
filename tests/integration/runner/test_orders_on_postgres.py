"""The orders example on the real engine: a runner, a database, and every way that an order can go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.orders import dead_letters, etl, fan_out, saga, shop
from tests.support.waiting import DEADLINE, eventually
from workerpool.producer import publish
from workerpool.runner import Runner
from workerpool.worker import definition_of
from workerpool_contract.environment import RunnerSettings

pytestmark = pytest.mark.postgres

WORKERS = (
    etl.transform_data,
    etl.load_data,
    saga.reserve_inventory,
    saga.process_payment,
    saga.confirm_order,
    saga.mail_confirmation,
    saga.compensate_inventory,
    fan_out.fan_out_user_created,
    fan_out.send_welcome,
    fan_out.count_user,
    fan_out.create_contact,
    dead_letters.handle_failed_payments,
)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[None]:
    """A runner of all workers, drained at the end; retries follow at once."""
    settings = RunnerSettings(url=url, probe_host="127.0.0.1", probe_port=0, retry_max_delay=0.01)
    runner = Runner(settings, [definition_of(worker) for worker in WORKERS])
    work = asyncio.create_task(runner.run())
    async with asyncio.timeout(DEADLINE):
        await runner.started.wait()
    try:
        yield
    finally:
        runner.stop()
        await work


@pytest.fixture(autouse=True)
def _own_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_DATABASE", str(tmp_path / "orders.sqlite3"))
    shop.put_in_stock("lamp", 3)


async def shows(query: str, *expected: tuple[object, ...]) -> None:
    """Until the shop's database answers ``query`` with ``expected``."""

    async def holds() -> bool:
        return shop.rows(query) == list(expected)

    await eventually(holds, f"{query} shows {expected}")


def order(order_id: str, *, units: int = 2, card: str = "good") -> dict[str, object]:
    return {"order_id": order_id, "sku": "lamp", "units": units, "total": 10.0, "card": card}


async def test_an_order_is_reserved_paid_confirmed_and_mailed(database: str) -> None:
    async with running(database):
        await publish("orders.created", order("a"))
        await shows("select * from delivery", ("mail", "a"))
    assert shop.rows("select * from status") == [("a", "confirmed")]
    assert shop.rows("select units from stock") == [(1,)]
    assert shop.rows("select amount from payment") == [(10.0,)]


@pytest.mark.parametrize(
    ("units", "card", "words"),
    [
        (4, "good", "out of stock"),
        (2, "declined", "cancelled: card declined"),
        (2, "unreachable", "payment failed after 3 retries: Connection timeout"),
    ],
)
async def test_an_order_that_fails_leaves_the_stock_as_it_was(database: str, units: int, card: str, words: str) -> None:
    async with running(database):
        await publish("orders.created", order("a", units=units, card=card))
        await shows("select words from status", (words,))
    assert shop.rows("select units from stock") == [(3,)]
    assert shop.rows("select * from payment") == []


async def test_raw_data_is_transformed_and_loaded(database: str) -> None:
    async with running(database):
        await publish("raw.data", {"id": 1, "value": "unreadable"})
        await publish("raw.data", {"id": 2, "value": 21})
        await shows("select * from reading", (2, 42.0))


async def test_one_message_fans_out_to_three_workers(database: str) -> None:
    async with running(database):
        await publish("user.created", {"id": 5, "email": "a@example.com"})
        await shows(
            "select channel, reference from delivery order by channel",
            ("analytics", "5"),
            ("crm", "a@example.com"),
            ("welcome", "a@example.com"),
        )
