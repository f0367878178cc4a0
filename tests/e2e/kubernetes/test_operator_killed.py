"""The operator dies in the middle of a burst: its pods work on, and its next life decides the same."""

import pytest

from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.containers import kill_container, restarts
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.watching import fell, steps, watched_size
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(300)]

JOBS = 350
MORE = 100
LARGEST = 4


def writes_to_deployments(operator: Operator, namespace: str) -> int:
    """How often the operator changed the size, or anything else, of a Deployment."""
    about = [event["objectRef"] for event in operator.requests() if event["verb"] in {"patch", "create", "update"}]
    return sum((it["resource"], it.get("namespace")) == ("deployments", namespace) for it in about)


def test_kill_9_in_the_middle_of_a_burst(operator: Operator, new_pool: NewPool) -> None:
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={"maxReplicas": LARGEST, "backlogPerReplica": 1})
    with watched_size(pool) as sizes:
        pool.enqueue(JOBS, seconds=0.5)
        until(lambda: pool.settled() > JOBS / 10, 60, pool.story)
        before = writes_to_deployments(operator, pool.namespace)
        victim = operator.pod()
        kill_container(victim, "operator")
        pool.enqueue(MORE, first=JOBS, seconds=0.5)
        until(lambda: restarts(operator.pod()) == restarts(victim) + 1, 60, operator.logs)
        until(lambda: pool.settled() > JOBS + MORE - 4 * LARGEST, 120, pool.story)
        # The only write of this pool's size was the one that woke it.
        assert steps(sizes) == [0, LARGEST]
        assert writes_to_deployments(operator, pool.namespace) == before
        pool.wait_settled(JOBS + MORE, 60)
        pool.wait_asleep(60)
    assert steps(sizes) == [0, LARGEST, *(to for _, to in fell(sizes))]
    assert_each_ran_once(pool.runs(), JOBS + MORE)
