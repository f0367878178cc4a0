"""`make demo-kubernetes` shows the main job and takes away what it made, also from a cluster that was there before."""

import os
import re

import pytest

from tests.cluster.api import Cluster
from tests.cluster.images.build import Images
from tests.cluster.local.provider import LocalCluster
from tests.cluster.names import ENV_ATTACH
from tests.cluster.netns import outside
from tests.e2e.fresh_clone import ROOT
from tests.support.commands import run_command

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

COMMAND = "make demo-kubernetes"
SHORTER = "ARGS=--files 300"
LAST_LINE = "300 jobs completed, 0 dead, peak 3 replicas, 0 now"
KINDS = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,persistentvolumes"
SECONDS = 500


def there(cluster: Cluster) -> set[str]:
    """Everything that is not inside a namespace."""
    return set(cluster.kubectl("get", KINDS, "-o", "name").split())


def test_pods_come_from_zero_and_go_back_to_zero(cluster: Cluster, cluster_images: Images) -> None:
    assert cluster_images.archive.exists()
    assert isinstance(cluster, LocalCluster), "the demo starts, or finds, a cluster of this machine"
    before = there(cluster)
    with outside():
        done = run_command([*COMMAND.split(), SHORTER], ROOT, {**os.environ, ENV_ATTACH: cluster.layout.name}, SECONDS)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert LAST_LINE in lines, done.stdout
    assert "$ kubectl apply --filename=examples/ast/kubernetes/workerpool.yaml --namespace=demo" in lines
    rows = [line.split() for line in lines if re.match(r" *\d+ s  (True|False) ", line)]
    replicas, desired, backlog = zip(*(row[3:6] for row in rows), strict=True)
    assert next(number for number in desired if number != "0") == "3", "the pool wakes up in one step"
    assert (replicas[-1], desired[-1], backlog[-1]) == ("0", "0", "0")
    assert "ScaledUp" in done.stdout
    assert "ScaledDown" in done.stdout
    assert (ROOT / "build" / "ast-kubernetes.svg").read_text().startswith("<svg")
    # Namespaces of earlier tests may still be going meanwhile.
    assert there(cluster) <= before
