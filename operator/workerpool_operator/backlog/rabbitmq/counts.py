"""What the pages of a broker say, read: a field that is not there is unknown, never zero. Pure.

For about five seconds after its start a broker lists its queues without any counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from workerpool_contract.rabbitmq import KEY_PREFIX
from workerpool_operator.backlog.rabbitmq.places import MOST_ROWS

LAG: Final = 9.0
"""Seconds by which the counts of quorum queues were measured to lag on these pages, at most."""

_GAUGES = {
    "rabbitmq_detailed_queue_messages_ready": "ready",
    "rabbitmq_detailed_queue_messages_unacked": "unacked",
    "rabbitmq_detailed_queue_consumers": "consumers",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What a page says of one queue: counts of now, and ``acked`` as a total; None is unknown."""

    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None
    acked: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a page says of all queues of a vhost, by their names.

    ``complete``: a queue that is not among them does not exist. ``page``: where it was read, in words.
    """

    rows: Mapping[str, Row]
    complete: bool
    page: str


class Unreadable(ValueError):
    """A page of another kind than was asked for; the message completes "<page> …"."""


class Rows(NamedTuple):
    """One answer of the management API. ``pages``: how many there are. ``keys``: queues of unique keys dominate."""

    rows: dict[str, Row]
    pages: int
    keys: bool


def management_rows(document: object) -> Rows:
    """The rows of a listing or of a page of one. Raises Unreadable for a document of another kind."""
    if isinstance(document, list):
        rows = {name: row for name, row in map(_row, document) if not name.startswith(KEY_PREFIX)}
        return Rows(rows, 1, keys=_dominate(len(document), len(rows)))
    if not isinstance(document, dict) or not isinstance(items := document.get("items"), list):
        raise Unreadable("is no list of queues")
    pages, total, kept = (_count(document.get(name)) for name in ("page_count", "total_count", "filtered_count"))
    if pages is None or total is None or kept is None:
        raise Unreadable("is no page of a list of queues")
    return Rows(dict(map(_row, items)), pages, keys=_dominate(total, kept) or kept <= MOST_ROWS)


def prometheus_rows(text: str, vhost: str) -> dict[str, Row]:
    """The rows of a page in Prometheus' format. Raises Unreadable for a text of another kind."""
    rows: dict[str, Row] = {}
    found = False
    for name, labels, value in _samples(text):
        found = found or name.startswith("rabbitmq_")
        queue, field = labels.get("queue"), _GAUGES.get(name)
        if queue is not None and field is not None and labels.get("vhost") == vhost and value >= 0:
            rows[queue] = replace(rows.get(queue, Row()), **{field: int(value)})
    if not found:
        raise Unreadable("has no metrics of RabbitMQ")
    return rows


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value
    except ValueError:
        raise Unreadable("answers something that is not in Prometheus' format") from None


def _row(item: object) -> tuple[str, Row]:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str):
        raise Unreadable("has a queue without a name")
    stats: Any = item.get("message_stats")
    return name, Row(
        ready=_count(item.get("messages_ready")),
        unacked=_count(item.get("messages_unacknowledged")),
        consumers=_count(item.get("consumers")),
        acked=_count(stats.get("ack")) if isinstance(stats, dict) else None,
    )


def _count(value: object) -> int | None:
    """A count, None for what is none: absent, null, text, negative."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dominate(total: int, kept: int) -> bool:
    return total > MOST_ROWS and total > 2 * kept
