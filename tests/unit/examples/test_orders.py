"""The orders example in memory: what an application team's own tests look like."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from examples import orders
from examples.orders import fan_out, saga, shop, workers
from workerpool.registry import select, subscriptions
from workerpool.testing import TestBroker
from workerpool.worker import definition_of

ORDER: dict[str, Any] = {"order_id": "a", "sku": "lamp", "units": 2, "total": 10.0, "card": "good"}


@pytest.fixture(autouse=True)
def _own_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_DATABASE", str(tmp_path / "orders.sqlite3"))
    shop.put_in_stock("lamp", 3)


async def test_a_worker_is_tested_by_calling_it() -> None:
    assert saga.confirm_order({"order_id": "a"}) == {"order_id": "a", "status": "confirmed"}


async def test_an_order_goes_through_all_steps() -> None:
    async with TestBroker(orders) as broker:
        await broker.publish("orders.created", ORDER)
        await broker.run_until_idle()
        assert broker.messages("inventory.reserved") == [ORDER]
        assert broker.messages("payments.completed") == [{"order_id": "a", "amount": 10.0}]
        assert broker.messages("orders.confirmed") == [{"order_id": "a", "status": "confirmed"}]
        assert broker.jobs() == []
    assert shop.rows("select * from status") == [("a", "confirmed")]
    assert shop.rows("select * from delivery") == [("mail", "a")]


async def test_too_few_in_stock_ends_the_saga_without_an_error() -> None:
    async with TestBroker(orders) as broker:
        await broker.publish("orders.created", {**ORDER, "units": 4})
        await broker.run_until_idle()
        assert broker.messages("inventory.reserved") == []
        assert broker.dead_letters() == []
    assert shop.rows("select * from status") == [("a", "out of stock")]


async def test_a_declined_card_undoes_the_reservation() -> None:
    async with TestBroker(orders) as broker:
        await broker.publish("orders.created", {**ORDER, "card": "declined"})
        await broker.run_until_idle()
        assert broker.messages("payments.completed") == []
        assert broker.dead_letters() == []
    assert shop.rows("select * from status") == [("a", "cancelled: card declined")]
    assert shop.rows("select units from stock") == [(3,)]


async def test_a_bank_that_is_away_is_retried_three_times_and_handled_as_a_dead_letter() -> None:
    async with TestBroker(orders) as broker:
        await broker.publish("orders.created", {**ORDER, "card": "unreachable"})
        await broker.run_until_idle()
        assert [(job.queue, job.due_in) for job in broker.jobs()] == [("inventory.reserved", 1.0)]
        await broker.run_until_finished()
        assert broker.now() == 1 + 2 + 4
        assert broker.messages("payments.dlq") == [
            {
                "original": {**ORDER, "card": "unreachable"},
                "error": "Connection timeout",
                "worker": "process_payment",
                "retries": 3,
            }
        ]
    assert shop.rows("select words from status") == [("payment failed after 3 retries: Connection timeout",)]
    assert shop.rows("select units from stock") == [(3,)]


async def test_an_order_against_the_schema_is_a_dead_letter_that_names_the_field() -> None:
    async with TestBroker(orders) as broker:
        await broker.publish("orders.created", {**ORDER, "units": 0})
        await broker.run_until_idle()
        (dead,) = broker.dead_letters("orders.created")
        assert dead.reason == "invalid"
        assert dead.error == "the payload does not match Order: units: Input should be greater than 0"
        assert [message["retries"] for message in broker.messages("orders.dlq")] == [0]


async def test_raw_data_is_transformed_and_loaded() -> None:
    async with TestBroker(orders) as broker:
        await broker.publish("raw.data", {"id": 1, "value": 21})
        await broker.publish("raw.data", {"id": 2, "value": "unreadable"})
        await broker.run_until_idle()
        assert len(broker.messages("raw.data.dlq")) == 1
    assert shop.rows("select * from reading") == [(1, 42.0)]


async def test_a_user_fans_out_to_three_topics_once() -> None:
    async with TestBroker(fan_out.fan_out_user_created) as broker:
        for _ in range(2):
            await broker.publish("user.created", {"id": 5, "email": "a@example.com"})
        await broker.run_until_idle()
        topics = ("notifications.welcome", "analytics.user.created", "crm.contacts.create")
        assert [len(broker.jobs(topic)) for topic in topics] == [1, 1, 1]


def test_the_manifest_runs_every_worker_of_the_app_once() -> None:
    modules = [getattr(workers, name) for name in workers.__all__]
    definitions = [definition_of(it) for module in modules for it in vars(module).values() if _is_worker(it)]
    queues = subscriptions(definitions)
    manifest = Path(orders.__file__).with_name("workerpool.yaml").read_text()
    pools = [document["spec"] for document in yaml.safe_load_all(manifest)]
    named = [name for pool in pools for name in pool["worker"]["names"]]
    assert sorted(named) == sorted(it.name for it in definitions)
    for pool in pools:
        consumed = {queues[it.name].queue for it in select(definitions, pool["worker"]["names"])}
        assert pool["source"]["postgres"]["queue"] in consumed


def _is_worker(value: object) -> bool:
    return hasattr(value, "__workerpool__")
