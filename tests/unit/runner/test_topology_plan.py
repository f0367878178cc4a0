"""A plan of what a broker lacks: signs, differences, their meaning and a cure that works."""

import json
import shlex

import pytest

from workerpool.sources.rabbitmq.declare import parse
from workerpool.sources.rabbitmq.topology import Binding, Exchange, Queue, Thing, everything, topic_of
from workerpool.sources.rabbitmq.topologyplan import (
    Change,
    Difference,
    FoundExchange,
    FoundQueue,
    Listing,
    State,
    compare,
    cures,
    lines,
    meanings,
    summary,
)
from workerpool_contract.rabbitmq import Arguments, work_arguments

EMPTY = (
    "`rabbitmqctl list_queues -p / name messages` shows 0 for it twice, ten seconds apart, "
    "and `workerpool jobs list --queue mail` shows no job"
)
QUEUE = Queue("mail", work_arguments("mail", 20))


def one(arguments: Arguments | None, policy: Arguments | None = None) -> Change:
    """How the queue ``mail`` is where it has these arguments."""
    found = {} if arguments is None else {"mail": FoundQueue(arguments, policy or {})}
    (change,) = compare([QUEUE], Listing(found, {}, frozenset()))
    return change


def test_an_empty_vhost_lacks_everything_and_a_full_one_nothing() -> None:
    things = everything(["mail@eu"], 20, (4, 1, 0))
    empty = Listing({}, {}, frozenset())
    full = Listing(
        {it.name: FoundQueue(it.arguments, {}) for it in things if isinstance(it, Queue)},
        {it.name: FoundExchange(it.type, it.arguments) for it in things if isinstance(it, Exchange)},
        frozenset((it.exchange, it.queue, it.key) for it in things if isinstance(it, Binding)),
    )
    assert {it.state for it in compare(things, empty)} == {State.MISSING}
    assert {it.state for it in compare(things, full)} == {State.SAME}
    assert summary(compare(things, full)) == f"0 to declare, 0 different, {len(things)} as they should be"


def test_dead_letters_come_before_what_needs_them() -> None:
    names = [it.name for it in everything(["mail"], 20, (3, 10, 8)) if isinstance(it, Queue)]
    assert names.index("mail.dead") < names.index("mail")


@pytest.mark.parametrize(("queue", "topic"), [("mail", "mail"), ("mail@eu", "mail"), ("a@b@c", "a@b"), ("@x", "@x")])
def test_the_topic_of_a_queue_is_read_off_its_name(queue: str, topic: str) -> None:
    assert topic_of(queue) == topic


def test_a_difference_is_shown_like_a_diff_with_meaning_and_cure() -> None:
    change = one(work_arguments("mail", 5))
    assert lines(change, "/") == [
        "~ queue mail (quorum)",
        "    - x-delivery-limit: 5",
        "    + x-delivery-limit: 20",
        "    means: a job that kills its runner is given up after another number of deliveries",
        "    cure: declare it anew, without losing a message:",
        "      1. stop whatever publishes to it, and let it run empty",
        f"      2. see that it is: {EMPTY}",
        "      3. `rabbitmqctl delete_queue -p / mail` (it deletes a queue that isn't empty, too)",
        "      4. `workerpool topology apply mail`, then start the publishers again",
    ]


def test_what_is_not_set_can_be_set_by_a_policy() -> None:
    (cure,) = cures(one({"x-queue-type": "quorum"}), "my vhost")
    words = shlex.split(cure.removeprefix("at once, by a policy: ").strip("`"))
    assert words[:7] == ["rabbitmqctl", "set_policy", "-p", "my vhost", "--apply-to", "queues", "workerpool mail"]
    assert words[7] == "^mail$"
    policy = json.loads(words[8])
    assert one({"x-queue-type": "quorum"}, {f"x-{key}": value for key, value in policy.items()}).state is State.SAME


def test_a_classic_queue_is_told_as_one_and_no_policy_is_proposed() -> None:
    change = one({"x-queue-type": "classic"})
    assert str(change) == "queue mail (classic)"
    (cure,) = cures(change, "/")
    assert "delete_queue" in cure


def test_what_means_the_same_is_told_once() -> None:
    told = meanings(one({"x-queue-type": "classic"}))
    assert [text.split(":")[0].split(",")[0] for text in told] == [
        "what the broker gives up is dropped",
        "where the queue has a maximum length",
        "only a quorum queue counts deliveries",
    ]
    wrong_key = work_arguments("mail", 20) | {"x-dead-letter-routing-key": "elsewhere"}
    assert meanings(one(wrong_key)) == ["what the broker gives up goes elsewhere than to the dead letters"]


def test_nobody_is_told_to_wait_until_a_stream_is_empty() -> None:
    (cure,) = cures(one({"x-queue-type": "stream"}), "/")
    assert "lose the records" in cure
    assert "let it run empty" not in cure


@pytest.mark.parametrize(
    ("extra", "state"),
    [
        ({"x-max-length": 9}, State.DIFFERENT),
        ({"x-message-ttl": 1000}, State.DIFFERENT),
        ({"x-queue-leader-locator": "balanced"}, State.SAME),
        ({"x-quorum-initial-group-size": 3}, State.SAME),
    ],
)
def test_what_is_set_beyond_counts_when_jobs_feel_it(extra: Arguments, state: State) -> None:
    assert one(work_arguments("mail", 20) | extra).state is state


def test_an_exchange_of_another_type_and_a_missing_binding_are_told() -> None:
    things: list[Thing] = [Exchange("x", "fanout"), Binding("x", "q", "k")]
    first, second = compare(things, Listing({}, {"x": FoundExchange("topic", {})}, frozenset({("x", "q", "other")})))
    assert (first.state, first.differences) == (State.DIFFERENT, (Difference("type", "topic", "fanout"),))
    assert cures(first, "/")
    assert lines(second, "/") == ["+ binding x → q (key k)"]


def test_waits_without_a_place_for_jobs_of_deleted_queues_are_told() -> None:
    things = [it for it in everything([], 20, (3, 10, 8)) if isinstance(it, Exchange) and it.name == "workerpool.lanes"]
    (change,) = compare(things, Listing({}, {"workerpool.lanes": FoundExchange("direct", {})}, frozenset()))
    assert lines(change, "/")[:2] == [
        "~ exchange workerpool.lanes (direct)",
        '    + alternate-exchange: "workerpool.unrouted"',
    ]
    assert "deleted queue" in lines(change, "/")[2]
    assert "topology apply" in lines(change, "/")[3]


def test_what_takes_jobs_out_of_the_ladder_is_there_before_any_can_wait() -> None:
    things = everything(["mail"], 20, (4, 1, 0))
    names = [getattr(it, "name", None) for it in things]
    assert names.index("workerpool.lanes") < names.index("workerpool.wait.1s")
    assert Binding("workerpool.unrouted", "workerpool.unrouted", "") in things[: names.index("workerpool.lanes")]
    assert Binding("workerpool.lanes", "mail.low", "mail.low") in things


BEGIN = "PRECONDITION_FAILED - inequivalent arg"
PLACE = "for queue 'mail' in vhost '/'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{BEGIN} 'x-delivery-limit' {PLACE}: received '6' but current is '5'",
            ("x-delivery-limit", "5", "6"),
        ),
        (
            f"{BEGIN} 'x-overflow' {PLACE}: received none but current is the value 'drop-head' of type 'longstr'",
            ("x-overflow", "drop-head", None),
        ),
        (
            f"{BEGIN} 'x-overflow' {PLACE}: received the value 'drop-head' of type 'longstr' but current is none",
            ("x-overflow", None, "drop-head"),
        ),
        (f"PRECONDITION_FAILED - invalid arg 'x-max-priority' {PLACE}", None),
    ],
)
def test_the_broker_s_words_name_the_difference(text: str, expected: tuple[str, str, str] | None) -> None:
    found = parse(QUEUE, text)
    assert (found and tuple(found)[1:]) == expected
