"""The pages about Kubernetes are true: their commands run, in order, on a cluster that has nothing of ours at first."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.helm import NAMESPACE, program
from tests.cluster.api import Cluster
from tests.cluster.images.build import Images
from tests.cluster.local.provider import LocalCluster
from tests.e2e.executable_docs import Command, blocks, commands, pages, typed
from tests.e2e.fresh_clone import ROOT, copy_clone
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(900)]

PAGES = [page for page in pages(ROOT) if any(block.on_cluster for block in blocks(page))]
CRD = "workerpools.workerpool.dev"
RELEASED = "0.1.0"
"""The tag that the chart asks for unless told otherwise."""
QUESTION = re.compile(r"kubectl (get|describe|events) ")
COMMAND_SECONDS = 150.0
ANSWER_SECONDS = 60.0


@pytest.fixture
def bare(cluster: Cluster, cluster_images: Images) -> Iterator[LocalCluster]:
    """The cluster without anything of ours, before and after; its node has the images under the names of a release."""
    assert isinstance(cluster, LocalCluster), "the names of images are given on the node"
    assert cluster.kubectl("get", "customresourcedefinition", CRD, "--ignore-not-found", "-o", "name") == ""
    images = {
        cluster_images.operator.ref: f"workerpool/operator:{RELEASED}",
        cluster_images.runner.ref: f"workerpool/runner:{RELEASED}",
        cluster_images.example.ref: "workerpool/example-ast:2",
    }
    for there, wanted in images.items():
        cluster.tag(there, wanted)
    yield cluster
    gone = ("--ignore-not-found", "--timeout=120s")
    cluster.kubectl("delete", "customresourcedefinition", CRD, *gone, timeout=130)
    cluster.kubectl("delete", "namespace", "demo", NAMESPACE, *gone, timeout=130)
    cluster.kubectl("delete", "clusterroles,clusterrolebindings", "--selector=app.kubernetes.io/instance=workerpool")


@pytest.fixture
def environment(bare: LocalCluster, cluster_database: str, tmp_path: Path) -> dict[str, str]:
    """What a reader's shell has: helm, kubectl and workerpool, a kubeconfig of its own, and the URL of the queue."""
    kubeconfig = shutil.copy(bare.kubeconfig, tmp_path / "kubeconfig")
    programs = (Path(sys.executable).parent, program(4).parent, bare.kubectl_program.parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WORKERPOOL_", "PG"))}
    return {
        **kept,
        "HOME": str(tmp_path),
        "KUBECONFIG": str(kubeconfig),
        "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
        "WORKERPOOL_URL": cluster_database,
        # Another text that means the same server.
        "NEW_URL": f"{cluster_database}?application_name=rotated",
    }


def run(command: Command, folder: Path, environment: dict[str, str], place: str) -> None:
    """Types a command and compares what it prints; a question is asked again until the cluster got there."""
    printed: list[str] = []

    def as_promised() -> bool:
        done = typed(command, folder, environment, COMMAND_SECONDS)
        printed.append(done.stdout)
        return done.returncode == 0 and command.matches(done.stdout)

    seconds = ANSWER_SECONDS if QUESTION.match(command.text) else 0
    until(
        as_promised, seconds, lambda: f"{place}: {command.text}\npromised:\n{command.expected}\nprinted:\n{printed[-1]}"
    )


def test_some_page_is_about_kubernetes() -> None:
    assert ROOT / "docs" / "kubernetes.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_do_what_the_page_says(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    copy_clone(clone)
    for block in blocks(page):
        for command in commands(block) if block.on_cluster else ():
            run(command, clone, environment, f"{page.name}:{command.line}")
