"""What a RabbitMQ source decides: steps of the ladder, crashes to charge, prefetch, deafness."""

import pytest

from workerpool.sources.rabbitmq import prefetch
from workerpool.sources.rabbitmq.crashes import charged, delivery_number
from workerpool.sources.rabbitmq.ids import Ids
from workerpool.sources.rabbitmq.ladder import wait_exchange
from workerpool.sources.rabbitmq.parts import rehome_at
from workerpool.sources.rabbitmq.watchdog import Watchdog


@pytest.mark.parametrize(
    ("remaining", "label"),
    [(-5, ""), (0, ""), (1, ""), (1.01, "1s"), (4.9, "1s"), (5, "5s"), (59, "15s"), (60, "1m"), (1e7, "6h")],
)
def test_a_delay_takes_the_longest_step_that_fits(remaining: float, label: str) -> None:
    assert wait_exchange(remaining) == (label and f"workerpool.wait.{label}")


@pytest.mark.parametrize(
    ("before", "deliveries", "marked", "forgiven", "crashes"),
    [
        (0, 0, (), (), 0),
        (0, 1, (), (), 1),
        (0, 3, (), (), 1),
        (0, 3, (1,), (), 2),
        (0, 3, (1, 2), (), 3),
        (0, 1, (), (0,), 0),
        (0, 2, (), (0,), 1),
        (0, 2, (1,), (0,), 1),
        (2, 0, (), (), 2),
        (2, 1, (), (), 2),
        (2, 1, (0,), (), 3),
        (2, 3, (0, 2), (1,), 4),
    ],
)
def test_crashes_are_charged_to_the_guilty(
    before: int, deliveries: int, marked: tuple[int, ...], forgiven: tuple[int, ...], crashes: int
) -> None:
    assert charged(before, deliveries, set(marked), set(forgiven)) == crashes


def test_only_a_redelivery_has_a_number() -> None:
    assert delivery_number({"x-delivery-count": 3}, redelivered=True) == 3
    assert delivery_number({"x-delivery-count": 3}, redelivered=False) == 0
    assert delivery_number({"x-delivery-count": "3"}, redelivered=True) == 0
    assert delivery_number({}, redelivered=True) == 1


@pytest.mark.parametrize(("limit", "at"), [(20, 2), (5, 2), (3, 1), (1, 1), (-1, 1)])
def test_a_message_is_copied_long_before_its_queue_gives_it_up(limit: int, at: int) -> None:
    assert rehome_at(limit) == at


def test_the_prefetch_follows_what_starves_and_shrinks_for_long_jobs() -> None:
    current = prefetch.first(10)
    assert current == 12
    assert prefetch.adjusted(current, 10, 500.0, None, starved=True) == 12
    grown = [current := prefetch.adjusted(current, 10, 6000.0, 0.001, starved=True) for _ in range(8)]
    assert grown == [24, 48, 96, 192, 384, 768, 1000, 1000]
    assert prefetch.adjusted(current, 10, 6000.0, 0.001, starved=False) == 1000
    assert prefetch.adjusted(current, 10, 20.0, 0.5, starved=False) == 30
    assert prefetch.adjusted(current, 10, 2.0, 5.0, starved=True) == 10
    assert prefetch.adjusted(10, 10, 1000.0, 0.01, starved=False) == 12


def test_ids_are_ordered_unique_and_fit() -> None:
    now = 1_800_000_000.0
    ids = Ids(lambda: now)
    made = [ids.next() for _ in range(5000)]
    assert made == sorted(set(made))
    assert 0 < made[-1] < 2**63
    later = Ids(lambda: now + 1).next()
    assert later > made[-1]


def test_silence_costs_a_channel_and_then_the_life() -> None:
    dog = Watchdog()
    assert not dog.hungry(0.0)
    assert not dog.hungry(59.0)
    assert dog.hungry(60.0)
    assert dog.looked(60.0, ready=5)
    assert not dog.deaf
    assert not dog.hungry(119.0)
    assert dog.hungry(120.0)
    assert dog.looked(120.0, ready=5)
    assert dog.deaf
    dog.heard()
    assert not dog.deaf


def test_an_empty_queue_makes_nobody_deaf() -> None:
    dog = Watchdog()
    for now in range(0, 1000, 60):
        if dog.hungry(float(now)):
            assert not dog.looked(float(now), ready=0)
    assert not dog.deaf
