"""One reading out of what several witnesses say of a queue. Pure.

- Ready: the queues themselves say it at once; the page of the broker stands in for those that don't, with its lag.
  That is said: whoever can't ask the queues can't hear runners, and runners may fare no better.
- In flight: what runners report, plus what the page shows beyond that when somebody consumes who reports nothing.
- A quorum queue whose leader is away answers "0 messages, 0 consumers": while a runner says that it consumes the
  queue, and the page doesn't show the same, that is not believed.
- Delayed: the queues of waits are shared by all queues of the vhost, so their counts can be told apart only when they
  are all empty, or when there is one queue of jobs only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_contract.rabbitmq import DEAD_SUFFIX, WAITING, dead, lanes
from workerpool_operator.backlog.rabbitmq.counts import LAG, Listing, Row
from workerpool_operator.backlog.rabbitmq.reports import Report


class Declared(NamedTuple):
    """What a queue said of itself: messages that are ready, and consumers."""

    ready: int
    consumers: int


class Missing(NamedTuple):
    """The queue does not exist."""


Answer = Declared | Missing | Unknown


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Everything that was heard of a vhost.

    ``broker``: which one, in words. ``answers``: of the queues themselves, by name; Unknown when the broker can't be
    asked by AMQP. ``listing``: the page of the broker, and ``listed``: seconds since it was read. ``reports``: queue ->
    what its runners said last, None when they can't be heard. ``peaks``: queue -> the most that was held lately.
    """

    broker: str
    answers: Mapping[str, Answer] | Unknown
    listing: Listing | Unknown
    listed: float = 0.0
    reports: Mapping[str, Sequence[Report]] | None = None
    peaks: Mapping[str, int] | None = None


class _Ready(NamedTuple):
    jobs: int
    consumers: int | None
    indirect: str = ""


class _InFlight(NamedTuple):
    jobs: int
    late: bool = False
    unknown: str = ""


def reading_of(queue: str, heard: Witnesses) -> Reading:
    """What is known of ``queue``, without totals."""
    counts = [_ready(name, queue, heard) for name in lanes(queue)]
    for count in counts:
        if isinstance(count, Unknown):
            return count
    present = [count for count in counts if isinstance(count, _Ready)]
    kept = _messages(dead(queue), heard)
    if isinstance(kept, Unknown):
        return kept
    in_flight = _in_flight(queue, present, heard)
    indirect = _indirect(present, heard)
    return Backlog(
        ready=sum(count.jobs for count in present),
        in_flight=in_flight.jobs,
        delayed=_delayed(queue, heard),
        dead=kept,
        age=LAG + heard.listed if indirect or in_flight.late else 0.0,
        indirect=indirect,
        in_flight_unknown=in_flight.unknown,
        undeclared="" if isinstance(counts[1], _Ready) else _undeclared(queue, heard),
    )


def acknowledged(queue: str, listing: Listing | Unknown) -> int | None:
    """How many jobs of ``queue`` were ever acknowledged, as far as the page says it; None while it doesn't."""
    if isinstance(listing, Unknown):
        return None
    found = [row.acked for name in lanes(queue) if (row := listing.rows.get(name)) and row.acked is not None]
    return sum(found) if found else None


def _ready(name: str, queue: str, heard: Witnesses) -> _Ready | Missing | Unknown:
    answer = heard.answers if isinstance(heard.answers, Unknown) else heard.answers.get(name, Unknown("was not asked"))
    if isinstance(answer, Missing):
        return answer
    row = _row(name, heard)
    if isinstance(answer, Declared):
        if name == queue and _has_no_leader(answer, row, heard.reports or {}, queue):
            return Unknown(f"queue {name} has no leader that answers; see its members in the management UI")
        return _Ready(answer.ready, answer.consumers)
    if isinstance(row, Row) and row.ready is not None:
        return _Ready(row.ready, row.consumers, answer.reason)
    return row if isinstance(row, Missing) else _unknown(name, answer, heard)


def _indirect(counts: Sequence[_Ready], heard: Witnesses) -> str:
    """Why the page stands in for queues, and which one; empty when each spoke for itself."""
    reasons = (count.indirect for count in counts)
    why = heard.answers.reason if isinstance(heard.answers, Unknown) else next(filter(None, reasons), "")
    return f"{why}; until then the counts are those of {_page(heard)}, some seconds old" if why else ""


def _has_no_leader(
    answer: Declared, row: Row | Missing | Unknown, reports: Mapping[str, Sequence[Report]], queue: str
) -> bool:
    """Whether a runner consumes the queue that says of itself that it has nothing and nobody.

    Unless the page shows the same: the runner has just died, then, and is not forgotten yet.
    """
    consumed = any(queue in report.queues for report in reports.get(queue, ()))
    deserted = isinstance(row, Row) and row.ready == 0 and row.consumers == 0
    return consumed and not any(answer) and not deserted


def _row(name: str, heard: Witnesses) -> Row | Missing | Unknown:
    if isinstance(heard.listing, Unknown):
        return heard.listing
    row = heard.listing.rows.get(name)
    if row is None:
        return Missing() if heard.listing.complete else Unknown(f"{heard.listing.page} does not list queue {name}")
    return row


def _unknown(name: str, answer: Unknown, heard: Witnesses) -> Unknown:
    """Why nothing is known of ``name``: what went wrong by AMQP, and with the page."""
    row = _row(name, heard)
    second = row.reason if isinstance(row, Unknown) else f"{_page(heard)} says no count of queue {name} yet"
    return Unknown(f"{answer.reason}; {second}", answer.reason)


def _page(heard: Witnesses) -> str:
    return "the page" if isinstance(heard.listing, Unknown) else heard.listing.page


def _in_flight(queue: str, counts: Sequence[_Ready], heard: Witnesses) -> _InFlight:
    rows = [row for name in lanes(queue) if isinstance(row := _row(name, heard), Row)]
    known = None if not rows or any(row.unacked is None for row in rows) else sum(row.unacked or 0 for row in rows)
    if heard.reports is None:
        if known is not None:
            return _InFlight(known, late=True)
        if isinstance(heard.listing, Listing) and heard.listing.complete and not rows:
            return _InFlight(0)
        return _InFlight(0, unknown=f"{heard.broker}: runners are not heard; {_cure(heard)}")
    reports = heard.reports.get(queue, ())
    held = sum(report.held.get(queue, 0) for report in reports)
    others = max((count.consumers or 0 for count in counts), default=0) - sum(queue in it.queues for it in reports)
    if others > 0 and known is not None:
        peak = (heard.peaks or {}).get(queue, held)
        return _InFlight(held + max(0, known - peak), late=True)
    # To a quorum queue, a message that a runner took without consuming is one more consumer until it is settled.
    strangers = others - held
    if strangers <= 0:
        return _InFlight(held)
    words = f"{strangers} of the consumers of queue {queue} do not say what they hold"
    return _InFlight(held, unknown=f"{words}; {_cure(heard)}")


def _cure(heard: Witnesses) -> str:
    """What would tell the rest: the page of the broker."""
    if isinstance(heard.listing, Unknown):
        return heard.listing.reason
    return f"{heard.listing.page} does not say it yet"


def _messages(name: str, heard: Witnesses) -> int | Unknown:
    """Messages in a queue that nobody consumes."""
    answer = heard.answers if isinstance(heard.answers, Unknown) else heard.answers.get(name)
    if isinstance(answer, Declared):
        return answer.ready
    if isinstance(answer, Missing):
        return 0
    row = _row(name, heard)
    if isinstance(row, Missing):
        return 0
    if isinstance(row, Row) and row.ready is not None:
        return row.ready + (row.unacked or 0)
    return _unknown(name, answer or Unknown(f"{heard.broker} was not asked for queue {name}"), heard)


def _delayed(queue: str, heard: Witnesses) -> int | None:
    waiting = [_messages(name, heard) for name in WAITING]
    total = sum(count for count in waiting if isinstance(count, int))
    if any(isinstance(count, Unknown) for count in waiting):
        return None
    return total if not total or _is_alone(queue, heard) else None


def _is_alone(queue: str, heard: Witnesses) -> bool:
    if isinstance(heard.listing, Unknown) or not heard.listing.complete:
        return False
    return set(_job_queues(heard.listing)) <= {queue}


def _job_queues(listing: Listing) -> Iterator[str]:
    for name in listing.rows:
        if name.endswith(DEAD_SUFFIX) and name.removesuffix(DEAD_SUFFIX) in listing.rows:
            yield name.removesuffix(DEAD_SUFFIX)


def _undeclared(queue: str, heard: Witnesses) -> str:
    return (
        f"queue {queue} does not exist on {heard.broker} yet, so nothing waits in it; a runner declares it when it "
        "starts, and a publisher with its first job; if it should be there, correct spec.source.rabbitmq.queue or vhost"
    )
