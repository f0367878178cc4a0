"""Another image and another spec in the middle of 2,000 jobs: pods of the old template finish what they began."""

from typing import Any

import pytest

from tests.cluster.components import Components
from tests.cluster.local.provider import LocalCluster
from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.supply import Supply
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(900)]

JOBS = 2000
LEAST = 500
PODS = 3


@pytest.fixture
def next_image(operator: Operator, components: Components) -> str:
    """The same image under another tag, as a release of the handlers that changes nothing would be."""
    assert isinstance(operator.cluster, LocalCluster), components
    image = operator.images.example.ref
    following = image.rpartition(":")[0] + ":next"
    operator.cluster.tag(image, following)
    return following


def template_of(pod: dict[str, Any]) -> str:
    """The hash of the template that a pod was made from."""
    return str(pod["metadata"]["labels"]["pod-template-hash"])


def roll(pool: Pool, jobs: Supply, worker: dict[str, Any]) -> set[str]:
    """Changes the spec and waits until no pod of an older template is left; the names of those pods."""
    old = {pod["metadata"]["name"]: template_of(pod) for pod in pool.pods()}
    began = pool.settled()
    pool.patch({"worker": worker})

    def is_over() -> bool:
        left = [pod for pod in pool.pods() if template_of(pod) not in old.values()]
        return bool(left) and len(left) == len(pool.pods())

    until(jobs.during(is_over), 240, pool.story)
    assert began < pool.settled() < jobs.count, "the rollout was not in the middle of the work"
    return set(old)


def test_image_and_spec_change_in_the_middle(new_pool: NewPool, next_image: str) -> None:
    pool = new_pool(scaling={"backlogPerReplica": JOBS // PODS, "maxReplicas": PODS, "pause": {"mode": "NoScaleIn"}})
    jobs = Supply(pool, seconds=0.06, least=LEAST)
    jobs.add(JOBS)
    until(lambda: pool.settled() > JOBS / 20, 60, pool.story)
    first = roll(pool, jobs, {"image": next_image})
    assert {pod["spec"]["containers"][0]["image"] for pod in pool.pods()} == {next_image}
    second = roll(pool, jobs, {"jobTimeoutSeconds": 200})
    pool.patch({"scaling": {"pause": None}})
    pool.wait_settled(jobs.count, 240)
    pool.wait_asleep(120)
    runs = pool.runs()
    assert_each_ran_once(runs, jobs.count)
    worked = {run.pod for run in runs}
    assert worked & first
    assert worked & (second - first)
    assert worked - first - second
