"""The chart on a real cluster, with Helm 3 and 4: install, test, upgrade, uninstall; and the manifest without Helm."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.generate import STATIC
from tests.chart.helm import CHART, NAMESPACE, RELEASE, VERSIONS, Helm, program
from tests.cluster.api import Cluster
from tests.cluster.images.build import Images
from tests.support.patience import until

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(900)]

# As the chart's README says; a test adds only where its images are.
INSTALL = "helm install workerpool helm/workerpool --namespace workerpool-system --create-namespace"
TEST = "helm test workerpool --namespace workerpool-system"
APPLY = "kubectl apply --server-side -f helm/static/workerpool.yaml"

CRD = "workerpools.workerpool.dev"
KINDS = (
    "deployments,replicasets,pods,services,serviceaccounts,poddisruptionbudgets,networkpolicies,secrets,leases,"
    "roles,rolebindings,clusterroles,clusterrolebindings"
)
SECONDS = 120


@pytest.fixture(params=VERSIONS, ids=lambda version: f"helm{version}")
def helm(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 3, then Helm 4, with the administrator's rights."""
    return Helm(program(request.param), tmp_path_factory.mktemp("helm"), cluster.environment)


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster without anything of ours, before and after."""
    there = cluster.kubectl("get", "customresourcedefinition", CRD, "--ignore-not-found", "-o", "name")
    assert there == "", "another test left the WorkerPool definition in the cluster: this one would delete its pools"
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=SECONDS)
    cluster.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found", timeout=SECONDS)
    selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
    cluster.kubectl("delete", "clusterroles,clusterrolebindings", selector)


def where_images_are(images: Images) -> list[str]:
    repository, _, tag = images.operator.ref.rpartition(":")
    return [
        f"--set=image.repository={repository}",
        f"--set=image.tag={tag}",
        "--set=image.pullPolicy=Never",
        f"--set=runner.image={images.runner.ref}",
    ]


def operator(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.json("get", "deployment", f"{RELEASE}-operator", f"--namespace={NAMESPACE}")
    return found


def environment(cluster: Cluster) -> dict[str, str | None]:
    (container,) = operator(cluster)["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def create_pool(cluster: Cluster, namespace: str, database: str) -> str:
    """A pool without jobs, and the Secret that it needs; the pool's uid once the operator has looked at it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "queue-db"}, "stringData": {"url": database}}
    source = {"postgres": {"queue": "orders", "urlSecretRef": {"name": "queue-db", "key": "url"}}}
    pool = {
        "apiVersion": "workerpool.dev/v1",
        "kind": "WorkerPool",
        "metadata": {"name": "orders"},
        "spec": {"source": source, "worker": {"app": "examples.hello.workers"}},
    }
    cluster.apply([secret, pool], namespace)
    wait_ready(cluster, namespace)
    return uid(cluster, namespace)


def wait_ready(cluster: Cluster, namespace: str) -> None:
    place = (f"--namespace={namespace}", f"--timeout={SECONDS}s")
    cluster.kubectl("wait", "--for=condition=Ready", "workerpool/orders", *place, timeout=SECONDS + 10)


def uid(cluster: Cluster, namespace: str) -> str:
    return str(cluster.json("get", "workerpool", "orders", f"--namespace={namespace}")["metadata"]["uid"])


def left_over(cluster: Cluster) -> list[str]:
    """What carries the release's labels, cluster-wide, and every Secret and Lease of its namespace."""
    selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
    labelled = cluster.kubectl("get", KINDS, "--all-namespaces", selector, "-o", "name").split()
    own = cluster.kubectl("get", "secrets,leases", f"--namespace={NAMESPACE}", "-o", "name").split()
    return labelled + own


def test_install_test_upgrade_uninstall(
    helm: Helm, bare: Cluster, cluster_images: Images, namespace: str, cluster_database: str
) -> None:
    _, *install = INSTALL.replace("helm/workerpool", str(CHART)).split()
    notes = helm(*install, *where_images_are(cluster_images), "--wait", f"--timeout={SECONDS}s", timeout=SECONDS + 30)
    assert f"kubectl --namespace {NAMESPACE} rollout status deployment/{RELEASE}-operator" in notes
    bare.wait_for_definitions()
    assert operator(bare)["status"]["readyReplicas"] == 1

    _, *test = TEST.split()
    assert "Succeeded" in helm(*test, f"--timeout={SECONDS}s", timeout=SECONDS + 30)
    pool = create_pool(bare, namespace, cluster_database)

    upgrade = ("upgrade", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--reuse-values", "--set=log.level=debug")
    helm(*upgrade, "--wait", f"--timeout={SECONDS}s", timeout=SECONDS + 30)
    assert environment(bare)["WORKERPOOL_OPERATOR_LOG_LEVEL"] == "debug"
    assert environment(bare)["WORKERPOOL_OPERATOR_RUNNER_IMAGE"] == cluster_images.runner.ref
    wait_ready(bare, namespace)
    assert uid(bare, namespace) == pool

    helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", f"--timeout={SECONDS}s", timeout=SECONDS + 30)
    until(lambda: not left_over(bare), SECONDS, lambda: f"left behind: {left_over(bare)}")
    assert uid(bare, namespace) == pool
    owner = bare.json("get", "deployment", "orders", f"--namespace={namespace}")["metadata"]["ownerReferences"][0]
    assert owner["uid"] == pool


def test_release_is_installed_again_over_the_definition_that_stayed(
    helm: Helm, bare: Cluster, cluster_images: Images, namespace: str, cluster_database: str
) -> None:
    _, *install = INSTALL.replace("helm/workerpool", str(CHART)).split()
    settings = (*where_images_are(cluster_images), "--wait", f"--timeout={SECONDS}s")
    helm(*install, *settings, timeout=SECONDS + 30)
    pool = create_pool(bare, namespace, cluster_database)
    helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", timeout=SECONDS + 30)
    helm(*install, *settings, timeout=SECONDS + 30)
    wait_ready(bare, namespace)
    assert uid(bare, namespace) == pool


def test_manifest_without_helm(bare: Cluster, cluster_images: Images, namespace: str, cluster_database: str) -> None:
    assert APPLY.endswith(str(STATIC.relative_to(CHART.parents[1])))
    objects = list(yaml.safe_load_all(STATIC.read_text(encoding="utf-8")))
    (deployment,) = [item for item in objects if item["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    # Only the images differ: those of this checkout are not in a registry.
    container.update(image=cluster_images.operator.ref, imagePullPolicy="Never")
    bare.apply(objects)
    place = (f"--namespace={NAMESPACE}", f"--timeout={SECONDS}s")
    bare.kubectl("rollout", "status", f"deployment/{RELEASE}-operator", *place, timeout=SECONDS + 10)
    create_pool(bare, namespace, cluster_database)
