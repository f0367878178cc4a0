"""How far a pool may shrink."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workerpool_contract.backlog import Backlog, Reading, RunnerReport, Unknown
from workerpool_contract.spec import WorkerPool
from workerpool_operator.backlog.watch import Look
from workerpool_operator.kube.objects import PodRecord, PoolKey
from workerpool_operator.kube.shrink import Sizes, staying
from workerpool_operator.kube.views import views_of

POOL = PoolKey("shop", "orders")
DARK = Unknown("connection refused")


def pool(**spec: Any) -> WorkerPool:
    """A pool of at most 20."""
    body = {
        "apiVersion": "workerpool.dev/v1",
        "kind": "WorkerPool",
        "metadata": {"name": "orders"},
        "spec": {
            "source": {"postgres": {"queue": "orders"}},
            "worker": {"app": "shop.workers"},
            "scaling": {"maxReplicas": 20},
            **spec,
        },
    }
    return WorkerPool.model_validate(body)


def look(busy: Sequence[int] | None, reading: Reading | None = None) -> Look:
    """A look with one report per pod."""
    named = None if busy is None else {f"p-{n}": RunnerReport(f"p-{n}", 1, jobs, 0.1) for n, jobs in enumerate(busy)}
    return Look(reading or Backlog(5), None, named, 0.0)


def left(sizes: Sizes, pods: int, seen: Look | None, *, ready: bool | str = True, **spec: Any) -> int:
    """The size that a pool with so many pods gets. ``ready``: of all of them, or "+-" for each."""
    each = ready if isinstance(ready, str) else "+-"[not ready] * pods
    records = [PodRecord(f"p-{number}", POOL, ready=sign == "+") for number, sign in enumerate(each)]
    return staying(pool(**spec), sizes, views_of(records, seen.reports if seen else None), seen)


def test_the_idle_go() -> None:
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0])) == 1


def test_the_busy_stay() -> None:
    assert left(Sizes(4, 1), 4, look([1, 1, 0, 1])) == 3


def test_the_idle_stay_while_kubernetes_would_end_a_busy_one_that_is_not_ready_yet() -> None:
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0]), ready="+-++") == 4
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0]), ready="++++") == 1
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0]), ready="-+-+") == 1


def test_what_is_not_ready_and_idle_goes_all_the_same() -> None:
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0]), ready="---+") == 2
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0]), ready="----") == 1


def test_nothing_but_busy_ones_hold_idle_ones_up() -> None:
    assert left(Sizes(4, 1), 4, look([0, 0, 0, 0]), ready="+-++") == 1


def test_busy_ones_that_are_not_ready_do_not_raise_a_lowered_maximum() -> None:
    assert left(Sizes(4, 2), 4, look([0, 1, 0, 0]), ready="+-++", scaling={"maxReplicas": 2}) == 2
    assert left(Sizes(4, 1), 4, look([0, 1, 0, 0]), ready="+-++", replicas=1) == 1


def test_a_pod_that_a_rollout_has_more_makes_no_pool_grow() -> None:
    assert left(Sizes(4, 3), 5, look([1] * 5)) == 4
    assert left(Sizes(4, 3), 5, look(None)) == 4


def test_nothing_goes_when_the_backlog_became_unknown_since_the_decision() -> None:
    assert left(Sizes(4, 0), 4, look([0] * 4, DARK)) == 4
    assert left(Sizes(4, 0), 4, look(None, DARK), ready=False) == 4
    assert left(Sizes(4, 0), 0, None) == 4


def test_a_pod_that_lost_its_readiness_may_be_busy_while_no_report_comes() -> None:
    assert left(Sizes(4, 0), 4, look(None), ready=False) == 4
    assert left(Sizes(4, 0), 4, look([]), ready=False) == 0


def test_a_size_that_somebody_asked_for_is_taken_at_its_word() -> None:
    assert left(Sizes(4, 2), 4, look([1] * 4, DARK), replicas=2) == 2
    hold = {"pause": {"mode": "HoldAt", "replicas": 2}, "maxReplicas": 20}
    assert left(Sizes(4, 2), 4, None, scaling=hold) == 2


def test_a_lowered_maximum_holds() -> None:
    assert left(Sizes(4, 2), 4, look([1] * 4), scaling={"maxReplicas": 2}) == 2
    assert left(Sizes(4, 2), 4, None, scaling={"maxReplicas": 2}) == 2


readings: st.SearchStrategy[Reading] = st.just(Backlog(3)) | st.just(DARK)
looks = st.none() | st.builds(look, st.none() | st.lists(st.integers(0, 2), max_size=30), readings)


pods = st.text("+-", max_size=30)


@given(st.integers(1, 25), st.data(), looks, pods)
def test_a_scale_in_never_raises_the_size(present: int, data: st.DataObject, seen: Look | None, there: str) -> None:
    wanted = data.draw(st.integers(0, min(present - 1, 20)))
    assert wanted <= left(Sizes(present, wanted), len(there), seen, ready=there) <= present
