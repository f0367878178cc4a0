"""What must hold for every input: bounds, monotony, Unknown never lowers, no flapping, restarts, and rest at zero."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workerpool_contract.backlog import Backlog, Reading, Unknown
from workerpool_contract.spec import WorkerPoolSpec
from workerpool_contract.status import History, WorkerPoolStatus
from workerpool_operator.decision import Observation
from workerpool_operator.policy import decide

START = 1_800_000_000.0
counts = st.integers(0, 5000)
backlogs = st.builds(Backlog, ready=counts, in_flight=st.integers(0, 50), oldest_age=st.none() | st.floats(0, 1e6))
readings: st.SearchStrategy[Reading] = backlogs | st.just(Unknown("refused"))
rates = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Replicas", "Percent"]),
        "value": st.integers(1, 200),
        "periodSeconds": st.integers(1, 300),
    }
)
manners = st.fixed_dictionaries(
    {
        "stabilizationSeconds": st.sampled_from([0, 1, 30, 300]),
        "policies": st.lists(rates, max_size=2),
        "selectPolicy": st.sampled_from(["Max", "Min"]),
    }
)


@st.composite
def scalings(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid scaling section without pause."""
    most = draw(st.integers(1, 60))
    return {
        "minReplicas": draw(st.integers(0, most)),
        "maxReplicas": most,
        "backlogPerReplica": draw(st.none() | st.integers(1, 100)),
        "targetWaitSeconds": draw(st.none() | st.integers(1, 600)),
        "activationBacklog": draw(st.sampled_from([0, 0, 20])),
        "tolerancePercent": draw(st.sampled_from([0, 10, 100])),
        "scaleUp": draw(manners),
        "scaleDown": draw(manners),
        "fallback": draw(st.none() | st.fixed_dictionaries({"replicas": st.integers(0, most)})),
    }


def spec_of(scaling: dict[str, Any]) -> WorkerPoolSpec:
    """A spec around ``scaling``."""
    body = {"source": {"postgres": {"queue": "q"}}, "worker": {"app": "a"}, "scaling": scaling}
    return WorkerPoolSpec.model_validate(body)


observations = st.builds(
    Observation,
    reading=readings,
    replicas=st.integers(0, 60),
    busy=st.integers(0, 60),
    slots=st.none() | st.integers(1, 50),
    service_seconds=st.none() | st.floats(0, 1e4),
    arrivals_per_second=st.none() | st.floats(0, 1e4),
)
steps = st.lists(st.tuples(readings, st.floats(0.1, 90), st.integers(0, 3)), max_size=25)


def play(spec: WorkerPoolSpec, moves: list[tuple[Reading, float, int]], current: int) -> tuple[History, int, float]:
    """Carries out the decisions for ``moves`` (reading, seconds since the last, busy) one after the other."""
    history, now = History(), START
    for reading, gap, busy in moves:
        now += gap
        decision = decide(spec, Observation(reading, current, busy=min(busy, current)), history, now)
        history, current = decision.history, decision.replicas
    return history, current, now


@given(scalings(), observations, steps)
def test_within_bounds(scaling: dict[str, Any], seen: Observation, moves: list[tuple[Reading, float, int]]) -> None:
    """Minimum and maximum hold, whatever happened before; the next look is never now and never later than a poll."""
    history, _, now = play(spec_of(scaling), moves, 0)
    decision = decide(spec_of(scaling), seen, history, now)
    assert scaling["minReplicas"] <= decision.replicas <= scaling["maxReplicas"]
    assert 0 < decision.next_check <= 5
    assert decision.reason


@given(scalings(), observations.filter(lambda o: isinstance(o.reading, Backlog)), steps, st.integers(1, 3000))
def test_monotone_in_backlog(
    scaling: dict[str, Any], seen: Observation, moves: list[tuple[Reading, float, int]], more: int
) -> None:
    """More work never gets fewer replicas."""
    assert isinstance(seen.reading, Backlog)
    spec = spec_of(scaling)
    history, _, now = play(spec, moves, 0)
    larger = Observation(
        Backlog(seen.reading.ready + more, seen.reading.in_flight, oldest_age=seen.reading.oldest_age),
        seen.replicas,
        seen.busy,
        seen.slots,
        seen.service_seconds,
        seen.arrivals_per_second,
    )
    assert decide(spec, larger, history, now).replicas >= decide(spec, seen, history, now).replicas


@given(scalings(), steps, st.integers(0, 60))
def test_unknown_never_lowers(scaling: dict[str, Any], moves: list[tuple[Reading, float, int]], current: int) -> None:
    """Without a reading nothing is removed, except above a maximum that the user lowered."""
    spec = spec_of(scaling)
    history, _, now = play(spec, moves, 0)
    decision = decide(spec, Observation(Unknown("refused"), current), history, now)
    assert decision.replicas >= min(current, scaling["maxReplicas"])


@given(scalings(), steps, st.integers(0, 60), st.floats(0, 1e5))
def test_unknown_is_asked_again_at_the_poll_interval(
    scaling: dict[str, Any], moves: list[tuple[Reading, float, int]], current: int, gap: float
) -> None:
    """However long nobody answers, and whatever the windows remember, no pool is looked at more often than that."""
    spec = spec_of(scaling)
    history, _, now = play(spec, moves, 0)
    decision = decide(spec, Observation(Unknown("refused"), current), history, now + gap)
    assert decision.next_check == spec.scaling.poll_interval_seconds


@given(scalings(), steps, st.integers(0, 60))
def test_never_below_the_busy(scaling: dict[str, Any], moves: list[tuple[Reading, float, int]], current: int) -> None:
    """A running job keeps its replica, within the maximum; zero needs nothing in flight."""
    spec = spec_of(scaling)
    history, _, now = play(spec, moves, 0)
    for busy in (0, 1, current):
        decision = decide(spec, Observation(Backlog(0, in_flight=2), current, busy=busy), history, now)
        assert decision.replicas >= min(current, max(busy, 1), scaling["maxReplicas"])


@given(scalings(), steps, steps)
def test_restart_decides_the_same(
    scaling: dict[str, Any], before: list[tuple[Reading, float, int]], after: list[tuple[Reading, float, int]]
) -> None:
    """The history that was written to the status and read back leads to the same decisions."""
    spec = spec_of(scaling)
    history, current, now = play(spec, before, 0)
    stored = WorkerPoolStatus(history=history).model_dump_json(by_alias=True)
    restored = WorkerPoolStatus.model_validate_json(stored).history
    for reading, gap, busy in after:
        now += gap
        seen = Observation(reading, current, busy=min(busy, current))
        kept, again = decide(spec, seen, history, now), decide(spec, seen, restored, now)
        assert kept == again
        history, restored, current = kept.history, again.history, kept.replicas


@given(st.integers(1, 20), st.lists(st.floats(-0.09, 0.09), min_size=5, max_size=60), st.integers(0, 5))
def test_no_flapping_under_noise(replicas: int, noise: list[float], window: int) -> None:
    """A backlog that wobbles inside the tolerance changes nothing, with or without a window."""
    scaling = {"maxReplicas": 40, "backlogPerReplica": 100, "scaleDown": {"stabilizationSeconds": window}}
    spec, history = spec_of(scaling), History(recommendation=replicas)
    for step, wobble in enumerate(noise):
        reading = Backlog(round(replicas * 100 * (1 + wobble)))
        decision = decide(spec, Observation(reading, replicas), history, START + step)
        assert decision.replicas == replicas
        history = decision.history


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0.5, 20)), min_size=1, max_size=50))
def test_down_window_covers_every_peak(moves: list[tuple[int, float]]) -> None:
    """Right after any decision there are at least as many replicas as any demand of the last 60 seconds."""
    scaling = {"maxReplicas": 50, "backlogPerReplica": 10, "tolerancePercent": 0}
    spec, history, current, now = spec_of(scaling), History(), 0, START
    asked: list[tuple[float, int]] = []
    for ready, gap in moves:
        now += gap
        asked.append((now, -(-ready // 10)))
        decision = decide(spec, Observation(Backlog(ready), current), history, now)
        history, current = decision.history, decision.replicas
        assert current >= max(count for at, count in asked if at > now - 60 + 0.01)


@given(scalings(), steps)
def test_comes_to_rest_at_the_minimum(scaling: dict[str, Any], moves: list[tuple[Reading, float, int]]) -> None:
    """An empty queue ends at the minimum in finite time, and from then on nothing in the history moves."""
    spec = spec_of(scaling)
    history, current, now = play(spec, moves, 0)
    for _ in range(400):
        now += 301
        decision = decide(spec, Observation(Backlog(0), current), history, now)
        history, current = decision.history, decision.replicas
    assert current == scaling["minReplicas"]
    now += 1801
    settled = decide(spec, Observation(Backlog(0), current), history, now).history
    assert settled == decide(spec, Observation(Backlog(0), current), settled, now + 5).history


@given(scalings(), steps)
def test_history_stays_short(scaling: dict[str, Any], moves: list[tuple[Reading, float, int]]) -> None:
    """The history fits into a status, however wild the past was."""
    history, _, _ = play(spec_of(scaling), moves * 8, 0)
    assert max(len(history.peaks), len(history.troughs), len(history.changes)) <= 32
