"""The operator as a user installs it: by the chart, with the chart's rights and nothing else."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chart.helm import CHART, NAMESPACE, RELEASE, Helm, program
from tests.cluster.api import Cluster
from tests.cluster.images.build import Images
from tests.support.patience import until

SECONDS = 120
NAME = "workerpool-operator"
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"
"""How the audit log calls the operator."""
CRD = "workerpools.workerpool.dev"


@dataclass(frozen=True)
class Operator:
    """The running release. ``images``: what pods may be made of. ``since``: when its installation began."""

    cluster: Cluster
    images: Images
    helm: Helm
    since: datetime

    def pods(self) -> list[dict[str, Any]]:
        """Its pods, those that end included."""
        selector = "--selector=app.kubernetes.io/component=operator"
        found: list[dict[str, Any]] = self.cluster.json("get", "pods", f"--namespace={NAMESPACE}", selector)["items"]
        return found

    def pod(self) -> dict[str, Any]:
        """The one pod that is Ready; waits for it."""
        return until(self._ready_pod, SECONDS, lambda: f"no operator is ready: {self.logs()}")

    def logs(self) -> str:
        """What it wrote lately."""
        return self.cluster.kubectl("logs", f"--namespace={NAMESPACE}", f"deployment/{NAME}", "--tail=200")

    def requests(self) -> list[dict[str, Any]]:
        """Its requests to the API server so far, as the audit log has them."""
        own = [event for event in self.cluster.audit_log() if event["user"]["username"] == USER]
        return [event for event in own if datetime.fromisoformat(event["requestReceivedTimestamp"]) > self.since]

    def _ready_pod(self) -> dict[str, Any] | None:
        ready = ready_among(self.pods())
        return ready[0] if len(ready) == 1 else None


def ready_among(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are ready and were not told to end."""
    return [pod for pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether the condition Ready holds."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@contextmanager
def installed(cluster: Cluster, images: Images, home: Path, *settings: str) -> Iterator[Operator]:
    """The release, Ready, for the block; removed afterwards with its namespace and definition.

    ``settings``: further arguments for ``helm install``.
    """
    since = datetime.now(UTC)
    helm = Helm(program(4), home, cluster.environment)
    repository, _, tag = images.operator.ref.rpartition(":")
    where = [
        f"--set=image.repository={repository}",
        f"--set=image.tag={tag}",
        "--set=image.pullPolicy=Never",
        f"--set=runner.image={images.runner.ref}",
        "--set=crds.keep=false",
    ]
    place = (f"--namespace={NAMESPACE}", "--wait", f"--timeout={SECONDS}s")
    try:
        helm("install", RELEASE, str(CHART), "--create-namespace", *where, *settings, *place, timeout=SECONDS + 30)
        cluster.wait_for_definitions()
        yield Operator(cluster, images, helm, since)
    finally:
        helm("uninstall", RELEASE, *place, "--ignore-not-found", timeout=SECONDS + 30)
        gone = ("--ignore-not-found", f"--timeout={SECONDS}s")
        cluster.kubectl("delete", "customresourcedefinition", CRD, *gone, timeout=SECONDS + 10)
        cluster.kubectl("delete", "namespace", NAMESPACE, *gone, timeout=SECONDS + 10)
