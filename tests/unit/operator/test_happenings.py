"""Transitions become happenings, repetitions don't."""

import pytest

from workerpool_contract.secretrefs import SecretKeyRef, management_use, url_use
from workerpool_contract.status import Condition, ConditionStatus, ConditionType, WorkerPoolStatus
from workerpool_operator.happenings import Reason, child_repaired, happenings, secret_rotated
from workerpool_operator.platform import Severity

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
ACTIVE, LIMITED, STALLED = ConditionType.SCALING_ACTIVE, ConditionType.SCALING_LIMITED, ConditionType.STALLED


def status(desired: int = 0, **words: str) -> WorkerPoolStatus:
    """A status whose conditions have these reasons: active, limited, stalled."""
    reasons = {"active": "BacklogKnown", "limited": "WithinBounds", "stalled": "Progressing", **words}
    return WorkerPoolStatus(
        desired_replicas=desired,
        reason="35 ready",
        conditions=(
            _condition(ACTIVE, reasons["active"], true=reasons["active"] == "BacklogKnown"),
            _condition(LIMITED, reasons["limited"], true=reasons["limited"] != "WithinBounds"),
            _condition(STALLED, reasons["stalled"], true=reasons["stalled"] != "Progressing"),
        ),
    )


def _condition(kind: ConditionType, reason: str, *, true: bool) -> Condition:
    return Condition(type=kind, status=TRUE if true else FALSE, reason=reason, message=f"about {reason}")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (status(0), status(4), [("Normal", "ScaledUp", "Scaled up from 0 to 4: 35 ready")]),
        (status(4), status(1), [("Normal", "ScaledDown", "Scaled down from 4 to 1: 35 ready")]),
        (WorkerPoolStatus(), status(0), []),
        (WorkerPoolStatus(), status(active="BacklogUnknown"), [("Warning", "BacklogUnknown", "about BacklogUnknown")]),
        (
            status(active="BacklogUnknown"),
            status(),
            [("Normal", "BacklogKnown", "The backlog can be read again")],
        ),
        (status(), status(active="Paused"), [("Normal", "Paused", "about Paused")]),
        (status(active="Paused"), status(), [("Normal", "Resumed", "Scaling is no longer paused")]),
        (status(active="Paused"), status(active="Pinned"), [("Normal", "Pinned", "about Pinned")]),
        (
            status(active="Pinned"),
            status(),
            [("Normal", "Unpinned", "spec.replicas is unset; the backlog sets the size again")],
        ),
        (status(active="Paused"), status(active="InvalidSpec"), []),
        (status(), status(limited="AtMaximum"), [("Warning", "AtMaximum", "about AtMaximum")]),
        (status(), status(limited="AtMinimum"), []),
        (status(), status(stalled="ImageMissing"), [("Warning", "ImageMissing", "about ImageMissing")]),
        (
            status(stalled="ImageMissing"),
            status(stalled="QuotaExceeded"),
            [("Warning", "QuotaExceeded", "about QuotaExceeded")],
        ),
        (status(stalled="QuotaExceeded"), status(), [("Normal", "Recovered", "No longer stalled (QuotaExceeded)")]),
    ],
)
def test_transitions(before: WorkerPoolStatus, after: WorkerPoolStatus, expected: list[tuple[str, str, str]]) -> None:
    assert [(it.severity.value, it.reason, it.message) for it in happenings(before, after)] == expected
    assert happenings(after, after) == ()


def test_what_was_refused_did_not_happen() -> None:
    found = happenings(status(0), status(4, stalled="NameTaken"), carried_out=False)
    assert [it.reason for it in found] == ["NameTaken"]


def test_reasons_fit_into_events_and_conditions() -> None:
    assert all(reason.isalpha() and reason[0].isupper() and len(reason) < 128 for reason in Reason)


def test_what_the_operator_does_besides() -> None:
    uses = (url_use(SecretKeyRef(name="queue-db"), "f"), management_use(SecretKeyRef(name="mq"), "f"))
    rotated, read_only = map(secret_rotated, uses)
    repaired = child_repaired("Deployment", "a")
    assert (rotated.severity, rotated.reason) == (Severity.NORMAL, "SecretRotated")
    words = "Secret queue-db has a new value under url; it is used from now on and the runners are rolled"
    assert rotated.message == words
    assert read_only.message == "Secret mq has a new value under url; it is used from now on"
    assert (repaired.severity, repaired.reason) == (Severity.WARNING, "ChildRepaired")
    assert repaired.message.startswith("Deployment a was changed or deleted")
