"""Many witnesses, one reading: who is believed, and what stays unknown."""

from typing import Any

import pytest

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.rabbitmq import UNROUTED, WAITING
from workerpool_contract.runnerreport import RunnerReport
from workerpool_operator.backlog.rabbitmq.counts import LAG, Listing, Row
from workerpool_operator.backlog.rabbitmq.merge import (
    Answer,
    Declared,
    Missing,
    Witnesses,
    acknowledged,
    reading_of,
)

AWAY = Unknown("the broker can't be reached")
NO_PAGE = Unknown("the page can't be read")
NAMES = ("q.high", "q", "q.low", "q.dead")


def answers(**more: Answer) -> dict[str, Answer]:
    """Every queue empty and without consumers, but for ``more``: high, normal, low, dead."""
    known = dict(zip(("high", "normal", "low", "dead"), NAMES, strict=True))
    waits: dict[str, Answer] = dict.fromkeys(WAITING, Declared(0, 0))
    return {**waits, **dict.fromkeys(NAMES, Declared(0, 0)), **{known[name]: said for name, said in more.items()}}


def page(*, complete: bool = True, **rows: Row) -> Listing:
    """A page with these queues: high, normal, low, dead."""
    known = dict(zip(("high", "normal", "low", "dead"), NAMES, strict=True))
    return Listing({known.get(name, name): row for name, row in rows.items()}, complete, "the page")


def report(held: int = 0, *, boot: str = "b", consumes: bool = True, queue: str = "q") -> RunnerReport:
    """A runner."""
    return RunnerReport(boot, "pod", (queue,) if consumes else (), 4, held, {queue: held})


def heard(said: Any = None, listing: Any = NO_PAGE, reports: Any = (), **more: Any) -> Witnesses:
    """What is known, about the queue "q"."""
    by_queue = None if reports is None else {"q": list(reports)}
    return Witnesses("RabbitMQ", answers() if said is None else said, listing, reports=by_queue, **more)


def backlog(witnesses: Witnesses) -> Backlog:
    """The reading, which must be known."""
    found = reading_of("q", witnesses)
    assert isinstance(found, Backlog), found
    return found


def test_ready_is_what_the_queues_themselves_say() -> None:
    stale = page(high=Row(9, 9), normal=Row(9, 9), low=Row(9, 9), dead=Row(9, 9))
    said = answers(high=Declared(1, 0), normal=Declared(2, 0), low=Declared(3, 0), dead=Declared(4, 0))
    assert backlog(heard(said, stale)) == Backlog(6, dead=4)


def test_missing_lanes_are_empty_and_a_missing_queue_says_so() -> None:
    found = backlog(heard(answers(high=Missing(), low=Missing(), normal=Declared(1, 0), dead=Missing())))
    assert (found.ready, found.dead, found.undeclared) == (1, 0, "")
    found = backlog(heard(answers(high=Missing(), low=Missing(), normal=Missing(), dead=Missing())))
    assert (found.ready, found.in_flight) == (0, 0)
    assert "queue q does not exist on RabbitMQ yet" in found.undeclared


def test_one_queue_that_does_not_answer_makes_the_sum_unknown() -> None:
    found = reading_of("q", heard(answers(low=Unknown("low is locked"))))
    assert isinstance(found, Unknown)
    assert "low is locked" in found.reason
    found = backlog(heard(answers(low=AWAY), page(low=Row(5)), listed=2.0))
    assert (found.ready, found.age) == (5, LAG + 2)
    words = "the broker can't be reached; until then the counts are those of the page, some seconds old"
    assert found.indirect == words


def test_without_amqp_the_page_is_late() -> None:
    listing = page(high=Row(1, 0), normal=Row(2, 3), low=Row(0, 0), dead=Row(7, 0))
    found = backlog(heard(AWAY, listing, None, listed=1.5))
    assert (found.ready, found.in_flight, found.dead, found.age) == (3, 3, 7, LAG + 1.5)
    assert found.indirect.startswith("the broker can't be reached; ")


def test_queues_that_the_page_does_not_have_are_not_asked_either() -> None:
    found = backlog(heard(AWAY, page(), None))
    assert found.undeclared
    assert found.indirect.startswith("the broker can't be reached; ")
    assert found.age


def test_counts_that_the_page_adds_to_those_of_the_queues_are_late_and_not_indirect() -> None:
    listing = page(high=Row(0, 0), normal=Row(0, 5), low=Row(0, 0), dead=Row(0, 0))
    found = backlog(heard(answers(normal=Declared(0, 1)), listing))
    assert (found.in_flight, found.age, found.indirect) == (5, LAG, "")


def test_a_page_without_counts_is_unknown() -> None:
    found = reading_of("q", heard(AWAY, page(high=Row(), normal=Row(), low=Row(), dead=Row()), None))
    assert isinstance(found, Unknown)
    assert found.reason == "the broker can't be reached; the page says no count of queue q.high yet"


def test_a_page_that_may_leave_queues_out_says_nothing_of_them() -> None:
    found = reading_of("q", heard(AWAY, page(complete=False), None))
    assert isinstance(found, Unknown)
    assert "does not list queue q.high" in found.reason
    assert backlog(heard(AWAY, page(), None)).undeclared


def test_nothing_at_all_is_unknown_with_both_reasons() -> None:
    found = reading_of("q", heard(AWAY, NO_PAGE, None))
    assert found == Unknown("the broker can't be reached; the page can't be read")


def test_runners_that_report_are_believed_before_the_page() -> None:
    stale = page(high=Row(0, 0), normal=Row(0, 50), low=Row(0, 0), dead=Row(0, 0))
    found = backlog(heard(answers(normal=Declared(0, 2)), stale, [report(3), report(4, boot="c")]))
    assert (found.in_flight, found.age) == (7, 0.0)


def test_a_runner_that_does_not_consume_still_holds() -> None:
    """It drains, or it takes jobs one by one: each is a consumer to a quorum queue."""
    assert backlog(heard(reports=[report(3, consumes=False)])).in_flight == 3
    found = backlog(heard(answers(normal=Declared(0, 3)), reports=[report(3, consumes=False)]))
    assert (found.in_flight, found.in_flight_unknown) == (3, "")
    assert backlog(heard(answers(normal=Declared(0, 4)), reports=[report(3, consumes=False)])).in_flight_unknown


def test_a_stranger_counts_by_what_the_page_shows_beyond_the_runners() -> None:
    listing = page(high=Row(0, 0), normal=Row(0, 50), low=Row(0, 0), dead=Row(0, 0))
    said = answers(normal=Declared(0, 2))
    found = backlog(heard(said, listing, [report(3)], peaks={"q": 40}))
    assert (found.in_flight, found.age) == (13, LAG)
    assert backlog(heard(said, listing, [report(3)], peaks={"q": 60})).in_flight == 3


def test_a_stranger_without_a_page_makes_in_flight_unknown() -> None:
    found = backlog(heard(answers(normal=Declared(5, 6)), NO_PAGE, [report(3)]))
    assert (found.ready, found.in_flight) == (5, 3)
    words = "2 of the consumers of queue q do not say what they hold; the page can't be read"
    assert found.in_flight_unknown == words


def test_a_queue_without_consumers_and_runners_holds_nothing() -> None:
    """The page may show for seconds what the last runner gave back."""
    stale = page(high=Row(0, 0), normal=Row(0, 50), low=Row(0, 0), dead=Row(0, 0))
    assert backlog(heard(listing=stale)).in_flight == 0


def test_runners_that_cannot_be_heard_make_in_flight_unknown_unless_the_page_says_it() -> None:
    found = backlog(heard(answers(normal=Declared(5, 0)), NO_PAGE, None))
    assert "runners are not heard" in found.in_flight_unknown
    listing = page(high=Row(0, 0), normal=Row(5, 2), low=Row(0, 1), dead=Row(0, 0))
    found = backlog(heard(answers(normal=Declared(5, 1)), listing, None))
    assert (found.in_flight, found.in_flight_unknown, found.age) == (3, "", LAG)


@pytest.mark.parametrize("listing", [NO_PAGE, page(normal=Row()), page(normal=Row(8, 0, 0)), page(normal=Row(0, 0, 1))])
def test_a_queue_without_a_leader_is_not_taken_for_an_empty_one(listing: Any) -> None:
    """It answers "0 messages, 0 consumers", while a runner consumes it."""
    found = reading_of("q", heard(listing=listing, reports=[report()]))
    assert isinstance(found, Unknown)
    assert "queue q has no leader that answers" in found.reason


def test_a_queue_that_the_page_shows_empty_too_has_lost_its_runner_only() -> None:
    listing = page(high=Row(0, 0), normal=Row(0, 0, 0), low=Row(0, 0), dead=Row(0, 0))
    assert backlog(heard(listing=listing, reports=[report()])) == Backlog(0)


@pytest.mark.parametrize("name", [WAITING[0], UNROUTED])
def test_delayed_jobs_of_a_shared_ladder_are_unknown_unless_there_are_none(name: str) -> None:
    said = answers() | {name: Declared(2, 0)}
    assert backlog(heard()).delayed == 0
    assert backlog(heard(said)).delayed is None
    alone = page(normal=Row(0, 0), dead=Row(0, 0))
    assert backlog(heard(said, alone)).delayed == 2
    two = Listing({**alone.rows, "p": Row(), "p.dead": Row()}, complete=True, page="the page")
    assert backlog(heard(said, two)).delayed is None


def test_acknowledged_is_unknown_until_the_page_says_it() -> None:
    assert acknowledged("q", NO_PAGE) is None
    assert acknowledged("q", page(normal=Row())) is None
    assert acknowledged("q", page(normal=Row(acked=3), high=Row(acked=4), dead=Row(acked=9))) == 7
