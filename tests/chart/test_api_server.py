"""The chart against a real API server: what it renders is accepted, releases come and go, rights are what they say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.chart.generate import STATIC
from tests.chart.helm import CHART, NAMESPACE, RELEASE, Helm, Objects
from tests.cluster.api import Cluster, KubectlFailed
from tests.support.apiserver import api_server_alone

pytestmark = pytest.mark.kubernetes

CRD = "workerpools.workerpool.dev"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
TEAMS = ("team-a", "team-b")
ACCOUNT = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}-operator"
POOL = {
    "apiVersion": "workerpool.dev/v1",
    "kind": "WorkerPool",
    "metadata": {"name": "orders"},
    "spec": {
        "source": {"postgres": {"queue": "orders", "urlSecretRef": {"name": "queue-db", "key": "url"}}},
        "worker": {"app": "orders.workers"},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """An API server without the WorkerPool definition, with the namespaces that the sets of values name."""
    with api_server_alone() as found:
        found.kubectl("delete", "customresourcedefinition", CRD)
        for name in (NAMESPACE, *TEAMS):
            found.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
        yield found


@contextmanager
def installed(helm: Helm, server: Cluster, *arguments: str) -> Iterator[Helm]:
    """A release with these arguments; nothing of it, the definition included, is left afterwards."""
    here = Helm(helm.program, helm.home, server.environment)
    here("install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *arguments)
    try:
        yield here
    finally:
        here("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found")
        server.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found")


def may(server: Cluster, verb: str, resource: str, *arguments: str) -> bool:
    """Whether the operator's account may do that."""
    try:
        return server.kubectl("auth", "can-i", verb, resource, ACCOUNT, *arguments).strip() == "yes"
    except KubectlFailed as refused:
        if str(refused).endswith("no\n"):
            return False
        raise


def release_objects(server: Cluster) -> set[str]:
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,pods,secrets"
    selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
    return set(server.kubectl("get", kinds, "--all-namespaces", selector, "-o", "name").split())


def test_every_set_of_values_is_accepted(server: Cluster, objects: Objects) -> None:
    known = [item for item in objects if "monitoring.coreos.com" not in item["apiVersion"]]
    text = yaml.safe_dump_all(known)
    server.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)


def test_operators_pod_is_admitted_under_the_restricted_standard(server: Cluster, objects: Objects) -> None:
    (deployment,) = [item for item in objects if item["kind"] == "Deployment"]
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "operator", "namespace": NAMESPACE}
    server.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=yaml.safe_dump(pod))


def test_release_comes_changes_and_goes_and_pools_stay(helm: Helm, server: Cluster) -> None:
    with installed(helm, server) as here:
        server.wait_for_definitions()
        server.apply(POOL, "team-a")
        pool = server.json("get", "workerpool", "orders", "--namespace=team-a")["metadata"]["uid"]
        here("upgrade", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--reuse-values", "--set=log.level=debug")
        deployment = server.json("get", "deployment", f"{RELEASE}-operator", f"--namespace={NAMESPACE}")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"name": "WORKERPOOL_OPERATOR_LOG_LEVEL", "value": "debug"} in container["env"]
        here("uninstall", RELEASE, f"--namespace={NAMESPACE}")
        assert release_objects(server) == set()
        assert server.json("get", "workerpool", "orders", "--namespace=team-a")["metadata"]["uid"] == pool
        here("install", RELEASE, str(CHART), f"--namespace={NAMESPACE}")
        assert server.json("get", "workerpool", "orders", "--namespace=team-a")["metadata"]["uid"] == pool


def test_without_keep_the_definition_goes_with_the_release(helm: Helm, server: Cluster) -> None:
    with installed(helm, server, "--set=crds.keep=false") as here:
        here("uninstall", RELEASE, f"--namespace={NAMESPACE}")
        server.kubectl("wait", "--for=delete", f"customresourcedefinition/{CRD}", "--timeout=30s")


def test_account_may_do_its_work_everywhere_and_nothing_else(helm: Helm, server: Cluster) -> None:
    with installed(helm, server):
        assert may(server, "watch", "workerpools.workerpool.dev", "--all-namespaces")
        assert may(server, "patch", "workerpools.workerpool.dev", "--subresource=status", "--namespace=team-a")
        assert may(server, "create", "deployments.apps", "--namespace=team-a")
        assert may(server, "get", "secrets/any", "--namespace=team-a")
        for verb, resource in [
            ("list", "secrets"),
            ("watch", "secrets"),
            ("create", "secrets"),
            ("patch", "workerpools.workerpool.dev"),
            ("delete", "deployments.apps"),
            ("delete", "pods"),
            ("create", "pods"),
            ("create", "clusterroles.rbac.authorization.k8s.io"),
            ("list", "namespaces"),
        ]:
            assert not may(server, verb, resource, "--all-namespaces"), (verb, resource)


def test_account_of_two_namespaces_has_no_right_in_a_third(helm: Helm, server: Cluster) -> None:
    with installed(helm, server, "--set=watchNamespaces={team-a,team-b},rbac.secretNames={queue-db}"):
        for team in TEAMS:
            assert may(server, "list", "workerpools.workerpool.dev", f"--namespace={team}")
            assert may(server, "get", "secrets/queue-db", f"--namespace={team}")
            assert not may(server, "get", "secrets/other", f"--namespace={team}")
        assert not may(server, "list", "workerpools.workerpool.dev", "--namespace=default")
        assert not may(server, "get", "secrets/queue-db", "--namespace=default")
        assert not may(server, "list", "workerpools.workerpool.dev", "--all-namespaces")


def test_manifest_without_helm_is_accepted(server: Cluster) -> None:
    text = STATIC.read_text(encoding="utf-8")
    server.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)
