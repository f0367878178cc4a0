"""Which statuses are written, and how they are read back."""

from typing import Any

import pytest

from workerpool_contract.status import (
    BacklogSummary,
    Condition,
    ConditionStatus,
    ConditionType,
    History,
    Mark,
    WorkerPoolStatus,
)
from workerpool_operator.report import status_document, status_from, worth_writing

BASE = BacklogSummary(ready=100, in_flight=10, delayed=20, dead=0, oldest_age_seconds=5)


def status(backlog: BacklogSummary | None = BASE, **more: Any) -> WorkerPoolStatus:
    """A status of a pool with two replicas."""
    return WorkerPoolStatus(**{"replicas": 2, "desired_replicas": 2, "reason": "100 ready", "backlog": backlog, **more})


def limited(message: str, kind: ConditionType = ConditionType.SCALING_LIMITED) -> tuple[Condition, ...]:
    """One condition with a message."""
    return (Condition(type=kind, status=ConditionStatus.TRUE, reason="AtMaximum", message=message),)


@pytest.mark.parametrize(
    ("changed", "worth"),
    [
        ({"ready": 110}, False),
        ({"ready": 111}, True),
        ({"ready": 89}, True),
        ({"ready": 0}, True),
        ({"delayed": 22}, False),
        ({"delayed": 23}, True),
        ({"dead": 1}, True),
        ({"ready": 95, "in_flight": 15}, False),
        ({"oldest_age_seconds": 10_000}, False),
        ({"oldest_age_seconds": None}, False),
        ({"truncated": True}, True),
    ],
)
def test_counts_are_written_when_they_moved(changed: dict[str, Any], worth: bool) -> None:
    assert worth_writing(status(), status(BASE.model_copy(update=changed))) is worth


@pytest.mark.parametrize(
    ("before", "after", "worth"),
    [
        (status(), status(reason="101 ready"), False),
        (status(), status(replicas=3), True),
        (status(), status(observed_generation=2), True),
        (status(), status(history=History(recommendation=2)), True),
        (status(None), status(), True),
        (status(conditions=limited("25 wanted")), status(conditions=limited("31 wanted")), False),
        (status(conditions=limited("25 wanted")), status(conditions=limited("25 refused")), True),
        (
            status(conditions=limited("db:1 is away", ConditionType.SCALING_ACTIVE)),
            status(conditions=limited("db:2 is away", ConditionType.SCALING_ACTIVE)),
            True,
        ),
    ],
)
def test_words_that_quote_moving_numbers_are_no_change(
    before: WorkerPoolStatus, after: WorkerPoolStatus, worth: bool
) -> None:
    assert worth_writing(before, after) is worth


def test_a_status_survives_its_document() -> None:
    given = status(conditions=limited("25 wanted"), history=History(recommendation=2, peaks=(Mark(at=5, replicas=3),)))
    document = status_document(given)
    assert document["history"]["peaks"] == [{"at": 5, "replicas": 3}]
    assert status_from(document) == given


@pytest.mark.parametrize("document", [None, [], "x", {"history": 3}, {"replicas": "many", "history": {"extra": 1}}])
def test_an_unreadable_status_is_an_empty_one(document: object) -> None:
    assert status_from(document) == WorkerPoolStatus()


def test_of_a_status_of_another_release_the_history_is_kept() -> None:
    assert status_from({"fromTheFuture": 1, "history": {"recommendation": 7}}).history.recommendation == 7
