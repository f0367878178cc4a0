"""The policy as a table: one situation, the number, and the rule that set it."""

from typing import Any

import pytest

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_contract.spec import WorkerPoolSpec
from workerpool_contract.status import Change, History, Mark
from workerpool_operator.decision import ClampKind, Decision, Observation
from workerpool_operator.policy import decide

NOW = 1_800_000_000.0
AT = int(NOW) * 1000
LATER = "2027-01-15T08:00:30Z"  # 30 s after NOW


def spec_of(scaling: dict[str, Any] | None = None, **changes: Any) -> WorkerPoolSpec:
    """A spec with a target of 10 per replica, no windows, and ``scaling`` merged over that."""
    merged = {"backlogPerReplica": 10, "scaleDown": {"stabilizationSeconds": 0}, **(scaling or {})}
    worker = {"app": "shop.workers"}
    body = {"source": {"postgres": {"queue": "q"}}, "worker": worker, "scaling": merged, **changes}
    return WorkerPoolSpec.model_validate(body)


def run(
    scaling: dict[str, Any] | None = None,
    reading: Backlog | Unknown | None = None,
    current: int = 0,
    history: History | None = None,
    seen: dict[str, Any] | None = None,
    **changes: Any,
) -> Decision:
    """One decision at NOW; a steady history unless ``history`` is given."""
    observation = Observation(reading or Backlog(0), current, **(seen or {}))
    return decide(spec_of(scaling, **changes), observation, history or History(recommendation=current), NOW)


@pytest.mark.parametrize(
    ("backlog", "current", "expected"),
    [
        (Backlog(0), 0, 0),
        (Backlog(1), 0, 1),
        (Backlog(87, 3), 0, 9),
        (Backlog(81), 8, 8),  # 81 / 80 is within the tolerance
        (Backlog(100_000), 0, 10),
        (Backlog(0), 10, 0),
        (Backlog(30), 10, 3),
    ],
)
def test_backlog_per_replica(backlog: Backlog, current: int, expected: int) -> None:
    """Ready and in flight, divided by the target, in one step."""
    assert run(reading=backlog, current=current).replicas == expected


def test_reason_tells_the_formula_and_each_rule() -> None:
    """A person reads why."""
    decision = run({"maxReplicas": 4}, Backlog(84, 3))
    assert decision.reason == "84 ready and 3 in flight, at 10 per replica: 9; then 4: maxReplicas 4"
    assert [(c.kind, c.before, c.after) for c in decision.clamps] == [(ClampKind.AT_MAXIMUM, 9, 4)]


@pytest.mark.parametrize(
    ("case", "expected", "kind"),
    [
        ({"scaling": {"activationBacklog": 50}, "reading": Backlog(40)}, 0, ClampKind.ACTIVATION),
        ({"scaling": {"activationBacklog": 50}, "reading": Backlog(51)}, 6, None),
        ({"scaling": {"activationBacklog": 50}, "reading": Backlog(40), "current": 2}, 4, None),
        ({"scaling": {"minReplicas": 2}, "reading": Backlog(0)}, 2, ClampKind.AT_MINIMUM),
        ({"scaling": {"tolerancePercent": 0}, "reading": Backlog(91), "current": 9}, 10, None),
        ({"reading": Backlog(0, 1), "current": 4}, 1, None),
        ({"reading": Backlog(0), "current": 4, "seen": {"busy": 3}}, 3, ClampKind.BUSY),
        ({"reading": Backlog(5, truncated=True), "current": 4}, 4, ClampKind.TRUNCATED),
        ({"replicas": 3, "reading": Backlog(500)}, 3, None),
        ({"replicas": 3, "reading": Unknown("down"), "current": 7}, 3, None),
        ({"replicas": 30, "reading": Backlog(0)}, 10, ClampKind.AT_MAXIMUM),
        ({"scaling": {"pause": {"mode": "Hold"}}, "reading": Backlog(90), "current": 2}, 2, ClampKind.PAUSED),
        ({"scaling": {"pause": {"mode": "HoldAt", "replicas": 5}}, "reading": Unknown("x")}, 5, ClampKind.PAUSED),
        ({"scaling": {"pause": {"mode": "NoScaleIn"}}, "reading": Backlog(0), "current": 2}, 2, ClampKind.PAUSED),
        ({"scaling": {"pause": {"mode": "NoScaleIn"}}, "reading": Backlog(50), "current": 2}, 5, None),
        ({"scaling": {"pause": {"mode": "NoScaleOut"}}, "reading": Backlog(50), "current": 2}, 2, ClampKind.PAUSED),
        ({"scaling": {"pause": {"mode": "Hold", "until": LATER}}, "reading": Backlog(90)}, 0, ClampKind.PAUSED),
        ({"scaling": {"pause": {"mode": "Hold", "until": "2027-01-15T08:00:00Z"}}, "reading": Backlog(90)}, 9, None),
        ({"scaling": {"minReplicas": 2, "pause": {"mode": "HoldAt", "replicas": 0}}}, 0, ClampKind.PAUSED),
        ({"reading": Unknown("refused"), "current": 7}, 7, None),
        ({"scaling": {"minReplicas": 2}, "reading": Unknown("refused")}, 2, ClampKind.AT_MINIMUM),
    ],
)
def test_rules(case: dict[str, Any], expected: int, kind: ClampKind | None) -> None:
    """Each rule by itself; ``kind`` None: no rule changed the number."""
    decision = run(**case)
    assert (decision.replicas, decision.clamps[-1].kind if decision.clamps else None) == (expected, kind)


def test_fallback_after_failures_in_a_row() -> None:
    """Two failures hold, the third raises, a reading starts the count again."""
    scaling = {"fallback": {"replicas": 4, "afterFailures": 3}}
    history, seen = History(recommendation=1), []
    for _ in range(4):
        decision = run(scaling, Unknown("refused"), 1, history)
        history = decision.history
        seen.append(decision.replicas)
    assert seen == [1, 1, 4, 4]
    assert run(scaling, Unknown("refused"), 9, history).replicas == 9
    assert run(scaling, Backlog(0), 4, history).history.failures == 0


def test_wait_target_follows_littles_law() -> None:
    """2 jobs/s of 3 s in 2 slots keep 3 replicas busy; 100 waiting ones within 30 s need 5 more."""
    seen = {"slots": 2, "service_seconds": 3.0, "arrivals_per_second": 2.0}
    scaling = {"backlogPerReplica": None, "targetWaitSeconds": 30}
    assert run(scaling, Backlog(100), 0, seen=seen).replicas == 8
    assert run({**scaling, "backlogPerReplica": 1, "maxReplicas": 200}, Backlog(100), 0, seen=seen).replicas == 100


def test_wait_target_starts_one_replica_to_learn_then_remembers() -> None:
    """Without a known service time one replica starts; later the learned time holds at zero as well."""
    scaling = {"backlogPerReplica": None, "targetWaitSeconds": 10}
    first = run(scaling, Backlog(100), 0)
    assert first.replicas == 1
    learned = run(scaling, Backlog(100), 1, first.history, {"service_seconds": 0.5}).history
    assert learned.service_milliseconds == 500
    assert run(scaling, Backlog(100), 0, learned).replicas == 5


def test_broken_wait_objective_ignores_the_tolerance() -> None:
    """A difference of one replica matters once jobs wait too long."""
    scaling = {"backlogPerReplica": None, "targetWaitSeconds": 10, "maxReplicas": 50}
    seen = {"service_seconds": 1.0}
    assert run(scaling, Backlog(205, oldest_age=5.0), 20, seen=seen).replicas == 20
    assert run(scaling, Backlog(205, oldest_age=11.0), 20, seen=seen).replicas == 21


def test_down_window_holds_the_highest_recommendation() -> None:
    """After a peak the number stays until the window has passed, and the next look is due at that moment."""
    scaling = {"scaleDown": {"stabilizationSeconds": 60}, "pollIntervalSeconds": 3600}
    history = History(recommendation=2, peaks=(Mark(at=AT - 40_000, replicas=6),))
    held = run(scaling, Backlog(20), 6, history)
    assert (held.replicas, held.clamps[-1].kind, held.next_check) == (6, ClampKind.DOWN_WINDOW, 20.0)
    past = history.model_copy(update={"peaks": (Mark(at=AT - 60_000, replicas=6),)})
    assert run(scaling, Backlog(20), 6, past).replicas == 2


def test_first_sight_starts_the_window() -> None:
    """A new operator finds 5 replicas and an empty queue: it waits a whole window before it removes any."""
    decision = run({"scaleDown": {"stabilizationSeconds": 60}}, Backlog(0), 5, History())
    assert decision.replicas == 5
    assert decision.history.peaks == (Mark(at=AT, replicas=5),)


def test_up_window_holds_the_lowest_recommendation() -> None:
    """With a window for scaling up, a short burst starts nothing."""
    decision = run({"scaleUp": {"stabilizationSeconds": 30}}, Backlog(90), 0)
    assert (decision.replicas, decision.clamps[-1].kind) == (0, ClampKind.UP_WINDOW)


@pytest.mark.parametrize(
    ("scaling", "current", "changes", "expected"),
    [
        ({"scaleUp": {"policies": [{"type": "Replicas", "value": 2}]}}, 0, (), 2),
        ({"scaleUp": {"policies": [{"type": "Replicas", "value": 2}]}}, 2, (Change(at=AT - 30_000, delta=2),), 2),
        ({"scaleUp": {"policies": [{"type": "Replicas", "value": 2}]}}, 2, (Change(at=AT - 60_000, delta=2),), 4),
        ({"scaleUp": {"policies": [{"type": "Percent", "value": 50}]}}, 3, (), 5),
        ({"scaleUp": {"policies": [{"type": "Percent", "value": 50}]}}, 0, (), 1),
        (
            {
                "scaleUp": {
                    "selectPolicy": "Min",
                    "policies": [{"type": "Percent", "value": 100}, {"type": "Replicas", "value": 1}],
                }
            },
            3,
            (),
            4,
        ),
    ],
)
def test_rate_limits_up(scaling: dict[str, Any], current: int, changes: tuple[Change, ...], expected: int) -> None:
    """Limits look back at real changes; percentages round up."""
    history = History(recommendation=current, changes=changes)
    assert run(scaling, Backlog(1000), current, history).replicas == expected


def test_rate_limits_down() -> None:
    """A disruption budget of 10 percent takes 8 of 72."""
    scaling = {
        "maxReplicas": 100,
        "scaleDown": {"stabilizationSeconds": 0, "policies": [{"type": "Percent", "value": 10}]},
    }
    decision = run(scaling, Backlog(0), 72)
    assert (decision.replicas, decision.clamps[-1].kind) == (64, ClampKind.DOWN_POLICY)
    assert decision.history.changes == (Change(at=AT, delta=-8),)
    assert run(scaling, Backlog(0), 64, decision.history).replicas == 64


def test_what_a_clock_ahead_of_this_one_wrote_counts_from_now_on() -> None:
    """The clock of the last leader was an hour ahead: nothing is blocked for that hour, and nothing is forgotten."""
    scaling = {
        "scaleDown": {"stabilizationSeconds": 60},
        "scaleUp": {"policies": [{"type": "Replicas", "value": 2}]},
    }
    ahead = AT + 3_600_000
    history = History(recommendation=2, peaks=(Mark(at=ahead, replicas=6),), changes=(Change(at=ahead, delta=2),))
    decision = run(scaling, Backlog(20), 6, history)
    assert decision.replicas == 6
    assert (decision.history.peaks, decision.history.changes) == (
        (Mark(at=AT, replicas=6),),
        (Change(at=AT, delta=2),),
    )


@pytest.mark.parametrize(
    ("case", "seconds"),
    [
        ({"reading": Backlog(0)}, 5.0),
        ({"reading": Backlog(0, delayed=1, next_due=1.5)}, 1.5),
        ({"reading": Backlog(0, delayed=1, next_due=0.0)}, 0.1),
        ({"scaling": {"pollIntervalSeconds": 600, "pause": {"mode": "Hold", "until": LATER}}}, 30.0),
    ],
)
def test_next_check(case: dict[str, Any], seconds: float) -> None:
    """The poll interval, or sooner when something is due before that."""
    assert run(**case).next_check == seconds
