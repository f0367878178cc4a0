"""What runners, publishers and the operator spell alike on a RabbitMQ broker: names, arguments and headers.

A queue Q of jobs is three quorum queues ("lanes"): ``Q``, ``Q.high`` and ``Q.low``; its dead letters are in ``Q.dead``.
Everything else is shared by the queues of a vhost and named ``workerpool.…``. Pure functions and constants only.
"""

import hashlib
import re
from collections.abc import Container
from typing import Any, Final, NamedTuple

Arguments = dict[str, Any]
"""Arguments of a declaration, as AMQP field table values."""

HIGH_SUFFIX: Final = ".high"
LOW_SUFFIX: Final = ".low"
DEAD_SUFFIX: Final = ".dead"
RESERVED_PREFIXES: Final = ("amq.", "workerpool.")
MAX_QUEUE_NAME: Final = 250
"""AMQP names hold 255 bytes; the longest suffix takes five of them."""
QUEUE_PATTERN: Final = r"^[-a-zA-Z0-9_.:@#,/+ ]+$"
"""What the client library lets through in the name of a queue."""
QUEUE_CHARACTERS: Final = "ASCII letters, digits, spaces and -_.:@#,/+"
WILDCARD_PATTERN: Final = r"(^|[.])#([.@]|$)"
"""Where a queue's topic has a word that means any words in a binding: the queue would get every topic's jobs."""

TOPICS: Final = "workerpool.topics"
"""Topic exchange of plain and foreign publishes; the exchanges of the other two lanes add the lane's suffix."""
LANE_EXCHANGE: Final = "workerpool.lanes"
"""Direct exchange from the waits to the lanes; each lane is bound with its own name as key."""
UNROUTED: Final = "workerpool.unrouted"
"""Exchange and queue of the jobs that found no lane behind the waits, because somebody deleted it."""
UNROUTED_AGAIN: Final = "workerpool.unrouted.again"
"""Exchange and queue of those that the broker itself gave up there: from here they go back to ``UNROUTED``.

A policy can limit the deliveries of every queue, which no argument lifts.
"""
CONTROL: Final = "workerpool.control"
REPORTS: Final = "workerpool.reports"
SUBSCRIPTIONS: Final = "workerpool.subscriptions"
HISTORY: Final = "workerpool.history"
MARKS: Final = "workerpool.marks"
KEY_PREFIX: Final = "workerpool.key."
WAIT_PREFIX: Final = "workerpool.wait."

HISTORY_AGE: Final = "7D"
HISTORY_BYTES: Final = 1_073_741_824
MARKS_BYTES: Final = 67_108_864
SUBSCRIPTIONS_BYTES: Final = 67_108_864
DELIVERY_LIMIT: Final = 20
"""The default crash budget of a work queue: RabbitMQ's own since 4.0."""

MANAGEMENT_PORT: Final = 15672
MANAGEMENT_TLS_PORT: Final = 15671

# Headers of a message that this project wrote; times are milliseconds since 1970.
HEADER_ID: Final = "workerpool-id"
HEADER_ATTEMPTS: Final = "workerpool-attempts"
HEADER_CRASHES: Final = "workerpool-crashes"
HEADER_PRIORITY: Final = "workerpool-priority"
HEADER_ENQUEUED: Final = "workerpool-enqueued"
HEADER_DUE: Final = "workerpool-due"
HEADER_EXPIRES: Final = "workerpool-expires"
HEADER_KEY: Final = "workerpool-key"
HEADER_JOB_HEADERS: Final = "workerpool-headers"
HEADER_DELIVERIES: Final = "x-delivery-count"
HEADER_PREFIX: Final = "workerpool-"

BROKER_HEADER_PREFIXES: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
"""What the broker writes into headers; none of it may travel on with a message that is published again."""


class Lanes(NamedTuple):
    """The three queues that hold the jobs of one queue; take from ``high`` first, from ``low`` last."""

    high: str
    normal: str
    low: str


class Wait(NamedTuple):
    """One step of the ladder of waits: its ``name`` (queue and fanout exchange) and how long it holds, in seconds."""

    name: str
    seconds: int


WAITS: Final = tuple(
    Wait(f"{WAIT_PREFIX}{label}", seconds)
    for label, seconds in (
        ("1s", 1),
        ("5s", 5),
        ("15s", 15),
        ("1m", 60),
        ("5m", 300),
        ("15m", 900),
        ("1h", 3600),
        ("6h", 21_600),
    )
)
"""Shortest first. A queue dead-letters from its head only, so every queue holds one constant time."""
WAITING: Final = (*(wait.name for wait in WAITS), UNROUTED, UNROUTED_AGAIN)
"""Queues that hold jobs of all queues: those that wait for their time, and those that wait for their lane."""


def queue_problem(queue: str) -> str | None:
    """Why ``queue`` can't be the name of a work queue, in words that complete "queue: 'x' …"; None when it can."""
    if not 1 <= len(queue) <= MAX_QUEUE_NAME:
        return f"has {len(queue)} characters; RabbitMQ takes names of 1 to {MAX_QUEUE_NAME} (lanes add a suffix)"
    if not re.fullmatch(QUEUE_PATTERN, queue):
        return f"has a character that can't be in it; on RabbitMQ use {QUEUE_CHARACTERS} only"
    if queue.startswith(RESERVED_PREFIXES):
        return "begins with a reserved prefix (amq. or workerpool.); choose another name"
    if re.search(WILDCARD_PATTERN, queue):
        return "has # for a word, which stands for any words in a topic; choose another name"
    return None


def lanes(queue: str) -> Lanes:
    """The queues of the three lanes of ``queue``."""
    return Lanes(f"{queue}{HIGH_SUFFIX}", queue, f"{queue}{LOW_SUFFIX}")


def lane(queue: str, priority: int) -> str:
    """The queue for a job of ``priority``: above 0 high, below 0 low."""
    return f"{queue}{lane_suffix(priority)}"


def lane_suffix(priority: int) -> str:
    """What a lane adds to the name of its queue, and to the name of the topic exchange."""
    if priority == 0:
        return ""
    return HIGH_SUFFIX if priority > 0 else LOW_SUFFIX


def queue_of_lane(lane: str, known: Container[str]) -> str:
    """The queue whose lane this is; one of the ``known`` queues may be called like a lane of another."""
    if lane not in known:
        for suffix in (HIGH_SUFFIX, LOW_SUFFIX):
            if lane.endswith(suffix):
                return lane.removesuffix(suffix)
    return lane


def topic_exchange(priority: int) -> str:
    """The exchange that copies a message of ``priority`` to the queues that subscribe to its routing key."""
    return f"{TOPICS}{lane_suffix(priority)}"


def dead(queue: str) -> str:
    """The queue that keeps the dead letters of ``queue``."""
    return f"{queue}{DEAD_SUFFIX}"


def key_queue(queue: str, key: str) -> str:
    """The queue that is there for as long as a job of ``queue`` with this unique key is unfinished."""
    digest = hashlib.sha256(f"{queue}\0{key}".encode()).hexdigest()
    return f"{KEY_PREFIX}{digest[:32]}"


def work_arguments(queue: str, delivery_limit: int = DELIVERY_LIMIT) -> Arguments:
    """Of each lane of ``queue``: a message delivered ``delivery_limit`` times in vain becomes a dead letter."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": delivery_limit,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead(queue),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def dead_arguments(version: tuple[int, int, int]) -> Arguments:
    """Of a queue of dead letters on a broker of ``version``: nothing expires, browsing never drops.

    From 4.0 on a queue without a limit of its own gets one of 20 deliveries; -1 means none. Older brokers have no
    limit by default.
    """
    return {"x-queue-type": "quorum"} | ({"x-delivery-limit": -1} if version >= (4, 0, 0) else {})


def lane_exchange_arguments() -> Arguments:
    """Of the exchange from the waits to the lanes: what no lane is bound for goes to ``UNROUTED``."""
    return {"alternate-exchange": UNROUTED}


def unrouted_arguments(version: tuple[int, int, int], then: str = UNROUTED_AGAIN) -> Arguments:
    """Of a queue of jobs that found no lane, on a broker of ``version``: nothing expires, looking never drops.

    What is given up goes on by the exchange ``then`` with its routing key, surely: the two such queues name each other.
    """
    return {
        **dead_arguments(version),
        "x-dead-letter-exchange": then,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def wait_arguments(seconds: int) -> Arguments:
    """Of a wait queue: after ``seconds`` the broker hands a message on to the lane that its routing key names.

    By an exchange that has a place for messages without a lane: the broker keeps 32 messages of a queue in its hands
    until they are somewhere, and those behind them would wait for ever.
    """
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": LANE_EXCHANGE,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def stream_arguments(max_bytes: int, max_age: str | None = None) -> Arguments:
    """Of a stream that keeps at most ``max_bytes`` and, when given, ``max_age`` (``7D``) of records."""
    base: Arguments = {"x-queue-type": "stream", "x-max-length-bytes": max_bytes}
    return base | ({"x-max-age": max_age} if max_age else {})


STREAMS: Final[dict[str, Arguments]] = {
    SUBSCRIPTIONS: stream_arguments(SUBSCRIPTIONS_BYTES),
    HISTORY: stream_arguments(HISTORY_BYTES, HISTORY_AGE),
    MARKS: stream_arguments(MARKS_BYTES, HISTORY_AGE),
}
"""Streams of a vhost and their arguments."""
