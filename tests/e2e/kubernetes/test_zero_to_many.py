"""The main job: a pool at zero gets 2,000 jobs, works them off with many pods, and is at zero again."""

import pytest

from tests.e2e.kubernetes.conftest import NewPool, every_source
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 2000
PODS = 4
SECONDS = 60


def scalings(pool: Pool) -> list[str]:
    """What the Deployment's controller says that it did, oldest first: ``up … from 0 to 4``."""
    about = f"--field-selector=involvedObject.kind=Deployment,involvedObject.name={pool.name},reason=ScalingReplicaSet"
    found = pool.cluster.json("get", "events", pool.place, about, "--sort-by=.metadata.creationTimestamp")["items"]
    return [event["message"] for event in found]


def row(pool: Pool) -> dict[str, str]:
    """The pool's line of ``kubectl get wp``, by column."""
    head, line = pool.cluster.kubectl("get", "wp", pool.place).splitlines()
    return dict(zip(head.split(), line.split(), strict=False))


@every_source
def test_zero_to_many_and_back(new_pool: NewPool) -> None:
    # Patient enough that the last pod is there before the first is one too many.
    patience = {"scaleDown": {"stabilizationSeconds": 10}}
    pool = new_pool(scaling={"backlogPerReplica": JOBS // PODS, "maxReplicas": 2 * PODS, **patience})
    assert pool.size() == 0
    assert row(pool)["DESIRED"] == "0"

    pool.enqueue(JOBS, seconds=0.05)
    until(lambda: pool.size() > 0, SECONDS, pool.story)
    if pool.jobs.is_atomic:
        assert pool.size() == PODS
    until(lambda: pool.size() == PODS, SECONDS, pool.story)
    until(lambda: pool.status()["readyReplicas"] == PODS, SECONDS, pool.story)
    busy = row(pool)
    assert (busy["READY"], busy["REPLICAS"], busy["DESIRED"]) == ("True", str(PODS), str(PODS)), busy

    pool.wait_settled(JOBS, 240)
    pool.wait_asleep(60)
    runs = pool.runs()
    assert_each_ran_once(runs, JOBS)
    assert len({run.pod for run in runs}) == PODS
    assert_told(pool)
    failed = pool.cluster.json("get", "events", pool.place, "--field-selector=reason=FailedPreStopHook")
    assert failed["items"] == [], "the command before SIGTERM is in the image, and may run there"


def assert_told(pool: Pool) -> None:
    """In one step up, when all jobs came at once; and ``kubectl describe`` says what happened, and why."""
    ups = [message for message in scalings(pool) if "up" in message.split()]
    events = pool.events()
    if pool.jobs.is_atomic:
        assert [message.endswith(f"from 0 to {PODS}") for message in ups] == [True]
        assert f"Scaled up from 0 to {PODS}: {JOBS} ready" in events[0][1]
    assert ups[0].split()[-3:-1] == ["0", "to"]
    assert events[0][0] == "ScaledUp"
    described = pool.cluster.kubectl("describe", "wp", pool.name, pool.place)
    for reason, message in events:
        assert reason in described
        assert message in described
    assert "ScaledDown" in {reason for reason, _ in events}
