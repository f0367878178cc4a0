"""Names on a broker: lanes, ladders and keys are spelt once; names that can't work are refused with the reason."""

import pytest

from workerpool_contract import rabbitmq
from workerpool_contract.rabbitmq import (
    LANE_EXCHANGE,
    UNROUTED,
    UNROUTED_AGAIN,
    WAITING,
    WAITS,
    dead_arguments,
    key_queue,
    lane,
    lane_exchange_arguments,
    lanes,
    queue_of_lane,
    queue_problem,
    topic_exchange,
    unrouted_arguments,
    wait_arguments,
    work_arguments,
)


@pytest.mark.parametrize(("priority", "queue"), [(5, "mail.high"), (0, "mail"), (-1, "mail.low")])
def test_a_priority_has_its_lane(priority: int, queue: str) -> None:
    assert lane("mail", priority) == queue
    assert queue in lanes("mail")
    assert topic_exchange(priority) == f"workerpool.topics{queue.removeprefix('mail')}"


def test_dead_letters_of_every_lane_meet_in_one_queue() -> None:
    assert work_arguments("mail", 5)["x-dead-letter-routing-key"] == "mail.dead"
    assert work_arguments("mail", 5)["x-delivery-limit"] == 5


@pytest.mark.parametrize(
    ("version", "limit"), [((3, 10, 8), None), ((3, 13, 7), None), ((4, 0, 0), -1), ((4, 3, 1), -1)]
)
def test_browsing_never_drops_a_dead_letter(version: tuple[int, int, int], limit: int | None) -> None:
    assert dead_arguments(version).get("x-delivery-limit") == limit


def test_waits_grow_and_each_is_named_after_its_time() -> None:
    assert [wait.seconds for wait in WAITS] == sorted({wait.seconds for wait in WAITS})
    units = {"s": 1, "m": 60, "h": 3600}
    for name, seconds in WAITS:
        label = name.removeprefix(rabbitmq.WAIT_PREFIX)
        assert int(label[:-1]) * units[label[-1]] == seconds


def test_what_waits_goes_by_an_exchange_that_keeps_what_has_no_lane() -> None:
    assert {wait_arguments(wait.seconds)["x-dead-letter-exchange"] for wait in WAITS} == {LANE_EXCHANGE}
    assert lane_exchange_arguments() == {"alternate-exchange": UNROUTED}
    assert (WAITING[0], *WAITING[-2:]) == ("workerpool.wait.1s", UNROUTED, UNROUTED_AGAIN)
    for version, limit in (((3, 10, 8), None), ((4, 0, 0), -1)):
        arguments = unrouted_arguments(version)
        assert (arguments["x-queue-type"], arguments.get("x-delivery-limit")) == ("quorum", limit)
        assert (arguments["x-dead-letter-exchange"], "x-dead-letter-routing-key" in arguments) == (
            UNROUTED_AGAIN,
            False,
        )


@pytest.mark.parametrize(
    ("name", "queue"),
    [("mail", "mail"), ("mail.high", "mail"), ("mail.low", "mail"), ("a.low", "a.low"), ("a.low.high", "a.low")],
)
def test_a_lane_names_its_queue(name: str, queue: str) -> None:
    assert queue_of_lane(name, {"a", "a.low"}) == queue


def test_keys_of_two_queues_never_meet() -> None:
    assert key_queue("a", "bc") != key_queue("ab", "c")
    assert len(key_queue("a", "x" * 1000)) < 255


@pytest.mark.parametrize(
    ("queue", "word"),
    [
        ("", "0 characters"),
        ("q" * 251, "251 characters"),
        ("amq.gen-1", "reserved"),
        ("workerpool.history", "reserved"),
        ("certificação", "ASCII letters"),
        ("orders.*", "ASCII letters"),
        ("orders\n", "ASCII letters"),
        ("#", "any words"),
        ("orders.#", "any words"),
        ("#.eu@mail", "any words"),
        ("a.#.b", "any words"),
        ("a.#@mail", "any words"),
    ],
)
def test_names_that_can_not_work_are_refused(queue: str, word: str) -> None:
    assert word in (queue_problem(queue) or "")


def test_ordinary_names_are_taken() -> None:
    assert [queue_problem(name) for name in ("raw_sessions", "orders@billing", "a#b.c#", "q" * 250)] == [None] * 4
