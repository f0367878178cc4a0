"""A pool on the cluster, its database and its pods, as a test applies and watches them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import Cluster, KubectlFailed
from tests.e2e.kubernetes.queues import SECRET, PostgresQueues, Queues
from tests.e2e.kubernetes.runs import RELEASED, TABLE, Run, runs_of, settled
from tests.support.patience import until
from tests.support.tables import Tables

APP = Path(__file__).parents[2] / "support" / "pod_app.py"
QUICK = {"pollIntervalSeconds": 1, "scaleDown": {"stabilizationSeconds": 2}}
"""A pool that follows its backlog without the patience that production wants."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """A pool that was applied. ``tables``: the database in which its app tells what it did, as the test reaches it.

    ``queues``: where its jobs are; None: in that database.
    """

    cluster: Cluster
    namespace: str
    name: str
    queue: str
    tables: Tables
    queues: Queues | None = None

    @property
    def jobs(self) -> Queues:
        """Where its jobs are."""
        return self.queues or PostgresQueues(self.tables)

    @property
    def place(self) -> str:
        """The argument that names the namespace to kubectl."""
        return f"--namespace={self.namespace}"

    def get(self) -> Body:
        """The WorkerPool object."""
        found: Body = self.cluster.json("get", "workerpool", self.name, self.place)
        return found

    def status(self) -> Body:
        """Its status, empty before the first."""
        found: Body = self.get().get("status", {})
        return found

    def condition(self, kind: str) -> Body:
        """The condition of this type, empty before the first."""
        return next((one for one in self.status().get("conditions", []) if one["type"] == kind), {})

    def deployment(self) -> Body:
        """The Deployment of the pool."""
        found: Body = self.cluster.json("get", "deployment", self.name, self.place)
        return found

    def size(self) -> int:
        """The size that the Deployment was told."""
        return int(self.deployment()["spec"]["replicas"])

    def pods(self) -> list[Body]:
        """Its pods, those that end included."""
        selector = f"--selector=workerpool.dev/pool={self.name}"
        found: list[Body] = self.cluster.json("get", "pods", self.place, selector)["items"]
        return found

    def events(self) -> list[tuple[str, str]]:
        """Reason and message of the events about the pool, oldest first."""
        about = f"--field-selector=involvedObject.kind=WorkerPool,involvedObject.name={self.name}"
        found = self.cluster.json("get", "events", self.place, about, "--sort-by=.metadata.creationTimestamp")["items"]
        return [(event["reason"], event["message"]) for event in found]

    def patch(self, spec: Mapping[str, Any]) -> None:
        """Merges into the spec; null removes a field."""
        merge = ("--type=merge", f"--patch={json.dumps({'spec': spec})}")
        self.cluster.kubectl("patch", "workerpool", self.name, self.place, *merge)

    def enqueue(self, count: int, first: int = 0, **payload: object) -> None:
        """Enqueues the jobs ``first`` to ``first + count - 1``."""
        self.jobs.enqueue(self.queue, [{"n": n, **payload} for n in range(first, first + count)])

    def runs(self) -> list[Run]:
        """Every run so far."""
        return runs_of(self.tables)

    def settled(self) -> int:
        """How many runs finished so far."""
        return settled(self.tables)

    def wait_settled(self, count: int, seconds: float) -> None:
        """Returns once ``count`` runs finished and the queue is empty."""
        until(lambda: self.settled() >= count and not self.jobs.unfinished(), seconds, self.story)

    def wait_asleep(self, seconds: float) -> None:
        """Returns once no pod is left, not even one that ends."""
        until(lambda: not self.pods() and self.size() == 0, seconds, self.story)

    def story(self) -> str:
        """All that helps to understand why a wait was in vain."""
        pods = self.cluster.kubectl("get", "pods", self.place, "-o", "wide")
        described = self.cluster.kubectl("describe", "workerpool", self.name, self.place)
        ending = [self._told(pod) for pod in self.pods() if "deletionTimestamp" in pod["metadata"]]
        return f"{self.settled()} finished, {self.jobs.unfinished()} left\n{pods}\n{described}\n{''.join(ending)}"

    def _told(self, pod: Body) -> str:
        """What a pod says that was told to end, and what is said about it."""
        name = pod["metadata"]["name"]
        containers = json.dumps(pod["status"].get("containerStatuses"))
        events = self.cluster.kubectl("get", "events", self.place, f"--field-selector=involvedObject.name={name}")
        try:
            log = self.cluster.kubectl("logs", name, self.place, "--tail=20")
        except KubectlFailed as error:
            log = str(error)
        return f"\n{name}: {pod['metadata']['deletionTimestamp']} {containers}\n{events}\n{log}\n"


def pool_manifest(name: str, queue: str, image: str, worker: Body, scaling: Body, queues: Queues | None = None) -> Body:
    """A pool whose pods find the app of the cluster tests in a ConfigMap, the way that docs/images.md shows."""
    where = queues or PostgresQueues(Tables(""))
    container = {
        "name": "runner",
        "env": [{"name": "PYTHONPATH", "value": "/handlers:/app"}, *where.variables()],
        "volumeMounts": [{"name": "handlers", "mountPath": "/handlers", "readOnly": True}],
    }
    template = {"spec": {"containers": [container], "volumes": [{"name": "handlers", "configMap": {"name": "app"}}]}}
    spec = {
        "source": where.source(queue),
        "worker": {"app": "pod_app", "image": image, "podTemplate": template, **worker},
        "scaling": {**QUICK, **scaling},
    }
    return {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": {"name": name}, "spec": spec}


def secret(url: str) -> Body:
    """The Secret that pools name."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"url": url}}


def surroundings(url: str) -> list[Body]:
    """What pools of a namespace need: the Secret and the app."""
    app = {"pod_app.py": APP.read_text(encoding="utf-8")}
    return [secret(url), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": app}]


def make_table(tables: Tables) -> None:
    """The tables that the app writes to and looks at."""
    tables.query(TABLE)
    tables.query(RELEASED)
