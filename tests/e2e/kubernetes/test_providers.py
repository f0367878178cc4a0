"""Which cluster the tests take, and which they leave alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.api import Cluster, Unavailable
from tests.cluster.archive import program_archive
from tests.cluster.existing import existing
from tests.cluster.names import ENV_ADDRESS, ENV_CI, ENV_CONTEXT, ENV_LOAD, ENV_PROVIDER

pytestmark = pytest.mark.kubernetes

ROOT = Path(__file__).parents[3]
ANY_TEST = "tests/e2e/kubernetes/test_cluster.py::test_the_database_asks_for_its_password"


@pytest.fixture
def environment(cluster: Cluster) -> dict[str, str]:
    """What somebody sets who lends a running cluster to the tests: this one."""
    return {
        "PATH": f"{cluster.kubectl_program.parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        ENV_CONTEXT: cluster.context,
        ENV_ADDRESS: cluster.node_address,
    }


def test_an_existing_cluster_does_what_the_others_do(cluster: Cluster, environment: dict[str, str]) -> None:
    lent = existing(environment)
    assert lent.node_address == cluster.node_address
    with lent.namespace("lent") as name:
        lent.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "told"}, "data": {"a": "b"}}, name)
        assert cluster.json("get", "configmap", "told", f"--namespace={name}")["data"] == {"a": "b"}
    with pytest.raises(Unavailable, match="local provider"):
        lent.audit_log()


def test_an_existing_cluster_gets_images_by_the_command_of_its_owner(
    cluster: Cluster, environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=ENV_LOAD):
        existing(environment).load(tmp_path / "image.tar")
    taken = tmp_path / "taken.tar"
    lent = existing({**environment, ENV_LOAD: f"cp --target-directory={tmp_path / 'node'}"})
    taken.parent.joinpath("node").mkdir()
    program_archive(Path("/bin/true"), "local/true:1", taken)
    lent.load(taken)
    assert (tmp_path / "node" / "taken.tar").read_bytes() == taken.read_bytes()


def test_no_context_is_taken_that_nobody_named(environment: dict[str, str]) -> None:
    """Not even the current one of the kubeconfig: it may be somebody's production."""
    del environment[ENV_CONTEXT]
    with pytest.raises(Unavailable, match=f"cure: set {ENV_CONTEXT}"):
        existing(environment)


def test_a_context_that_does_not_exist_is_refused(environment: dict[str, str], cluster: Cluster) -> None:
    with pytest.raises(Unavailable, match=f"has only {cluster.context}"):
        existing({**environment, ENV_CONTEXT: "production"})


def test_every_command_names_the_context(environment: dict[str, str], tmp_path: Path, cluster: Cluster) -> None:
    """A current context that points elsewhere is never used."""
    text = cluster.kubeconfig.read_text()
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(text.replace(f'"current-context": "{cluster.context}"', '"current-context": "elsewhere"'))
    assert "elsewhere" in elsewhere.read_text()
    assert existing({**environment, "KUBECONFIG": str(elsewhere)}).kubectl("get", "namespace", "default")


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_missing_cluster_is_told_and_fails_on_a_build_server(ci: str, outcome: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", ANY_TEST],
        cwd=ROOT,
        env={**os.environ, ENV_PROVIDER: "nowhere", ENV_CI: ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome in done.stdout
    assert f"{ENV_PROVIDER}=nowhere is no provider; cure: local, kind or existing" in done.stdout
