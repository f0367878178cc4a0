"""The test cluster itself: what the other tests marked ``kubernetes`` take for granted."""

import signal
import subprocess
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from tests.cluster.api import Cluster, KubectlFailed
from tests.cluster.archive import program_archive
from tests.cluster.binaries import binary_dir
from tests.cluster.components import Components
from tests.cluster.netns import outside
from tests.e2e.kubernetes.release import is_ready
from tests.support.patience import until
from tests.support.postgres import Server

pytestmark = pytest.mark.kubernetes

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


PROBE_IMAGE = "workerpool.test/probe:1"


@pytest.fixture(scope="module", autouse=True)
def probe_image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The program that shows from inside what works there, on every node."""
    with outside():
        program = binary_dir("pods") / "probe"
    archive = tmp_path_factory.mktemp("probe") / "probe.tar"
    program_archive(program, PROBE_IMAGE, archive)
    cluster.load(archive)


def pod(name: str, **container: Any) -> dict[str, Any]:
    """A pod of one restricted container that listens on port 8080."""
    one = {"name": "one", "image": PROBE_IMAGE, "imagePullPolicy": "Never", "securityContext": RESTRICTED}
    one["args"] = ["listen", "8080"]
    spec = {"containers": [one | container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def probe(port: int) -> dict[str, Any]:
    return {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1}


def shows_ready(cluster: Cluster, namespace: str, name: str) -> bool:
    return is_ready(cluster.json("get", "pod", name, f"--namespace={namespace}"))


def test_a_restricted_pod_gets_its_probes(cluster: Cluster, namespace: str) -> None:
    """The one whose probe nobody answers proves that the other was really asked."""
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    cluster.apply([pod("answers", readinessProbe=probe(8080)), pod("deaf", readinessProbe=probe(8081))], namespace)
    until(lambda: shows_ready(cluster, namespace, "answers"), 60, "the pod is Ready")

    def refused() -> bool:
        events = cluster.json("get", "events", f"--namespace={namespace}", "--field-selector=reason=Unhealthy")
        return any("connection refused" in event["message"] for event in events["items"])

    until(refused, 60, "the probe is refused")
    assert not shows_ready(cluster, namespace, "deaf")


def test_the_test_and_the_inside_of_a_pod_reach_it(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("one"), namespace)
    until(lambda: shows_ready(cluster, namespace, "one"), 60, "the pod is Ready")
    place = f"--namespace={namespace}"
    address = cluster.json("get", "pod", "one", place)["status"]["podIP"]
    with urlopen(f"http://{address}:8080/", timeout=10) as answer:
        assert answer.read() == b"ok\n"
    assert cluster.kubectl("exec", "one", place, "--", "/probe", "say", "hello", "there") == "hello there\n"
    assert cluster.kubectl("exec", "one", place, "--", "/probe", "api", "/version").startswith("200 ")
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    assert cluster.kubectl("exec", "one", place, "--", "/probe", "api", secrets).startswith("403 ")


def test_a_token_has_the_rights_of_its_account_and_is_audited(
    cluster: Cluster, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cluster.kubectl("create", "serviceaccount", "reader", f"--namespace={namespace}")
    role = ("create", "role", "reader", "--verb=get", "--resource=secrets", f"--namespace={namespace}")
    cluster.kubectl(*role)
    binding = ("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader")
    cluster.kubectl(*binding, f"--namespace={namespace}")
    cluster.kubectl("create", "secret", "generic", "known", "--from-literal=a=b", f"--namespace={namespace}")
    file = cluster.kubeconfig_for(
        cluster.token(namespace, "reader"), tmp_path_factory.mktemp("reader"), namespace=namespace
    )

    def as_reader(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(cluster.kubectl_program), f"--kubeconfig={file}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert as_reader("get", "secret", "known").returncode == 0
    assert "forbidden" in as_reader("get", "secrets").stderr.lower()
    user = f"system:serviceaccount:{namespace}:reader"
    asked = {
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in cluster.audit_log()
        if event["user"]["username"] == user and "objectRef" in event
    }
    assert {("get", "secrets", 200), ("list", "secrets", 403)} <= asked


def test_pods_and_the_test_reach_the_same_database(cluster: Cluster, cluster_database: str) -> None:
    assert cluster.node_address in cluster_database
    with psycopg.connect(cluster_database) as connection:
        assert connection.execute("select count(*) from workerpool.job").fetchone() == (0,)


def test_the_database_asks_for_its_password(cluster_postgres: Server) -> None:
    without = cluster_postgres.url().replace(f":{cluster_postgres.password}@", "@")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(without)


def test_a_component_stands_still_goes_and_comes_back(cluster: Cluster, components: Components) -> None:
    with components.paused("kube-apiserver"), pytest.raises(KubectlFailed, match="no end within"):
        cluster.kubectl("get", "--raw=/readyz", timeout=1)
    with components.stopped("kube-apiserver"):
        assert components.ended()["kube-apiserver"] == -signal.SIGKILL
        with pytest.raises(KubectlFailed, match="refused"):
            cluster.kubectl("get", "--raw=/readyz")
    components.restore()
    assert set(components.running()) > {"etcd", "kubelet"}
