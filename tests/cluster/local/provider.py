"""The cluster that tests start themselves, seen by a test."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import Cluster, KubectlFailed, Unavailable
from tests.cluster.components import Components
from tests.cluster.local.layout import NODE, NODE_ADDRESS, Layout
from tests.support.patience import until

LOAD_SECONDS = 300.0
READY_SECONDS = 120.0
END_SECONDS = 60.0


@dataclass(frozen=True)
class LocalCluster(Cluster):
    """A cluster of one node in namespaces of this machine. ``guard``: to be ended by whoever started it."""

    layout: Layout
    components: Components
    guard: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def of(cls, layout: Layout, programs: Path, guard: "subprocess.Popen[bytes] | None" = None) -> "LocalCluster":
        """The cluster in this folder."""
        return cls(
            kubectl_program=programs / "kubectl",
            kubeconfig=layout.kubeconfig(),
            context=f"workerpool-{layout.name}",
            node_address=NODE_ADDRESS,
            layout=layout,
            components=Components(layout.control),
            guard=guard,
        )

    @property
    def keeper_pid(self) -> int:
        """The process whose network namespace is the cluster's."""
        return int(self.layout.keeper_pid.read_text())

    def enter(self, *command: str) -> list[str]:
        """A command line that runs this command inside the cluster's network."""
        return ["nsenter", f"--net=/proc/{self.keeper_pid}/ns/net", "--", *command]

    def inside_kubectl(self, *arguments: str) -> str:
        """``kubectl`` for a process that is not in the cluster's network itself. Raises KubectlFailed."""
        command = [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", "--request-timeout=10s", *arguments]
        done = subprocess.run(
            self.enter(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def wait_api(self) -> None:
        """Returns when the API server is ready. Raises AssertionError after two minutes."""
        self._until("the API server is ready", "ok", "get", "--raw=/readyz")

    def wait_ready(self) -> None:
        """Returns when pods can be made. Raises AssertionError after two minutes."""
        self.wait_api()
        condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        self._until("the node is Ready", "True", "get", "node", NODE, "-o", condition)
        account = ("get", "serviceaccount", "default", "--namespace=default", "-o", "name")
        self._until("namespaces get their ServiceAccount", "serviceaccount/default\n", *account)

    def _until(self, what: str, wanted: str, *arguments: str) -> None:
        def holds() -> bool:
            try:
                return self.inside_kubectl(*arguments) == wanted
            except KubectlFailed:
                return False

        until(holds, READY_SECONDS, what)

    def load(self, archive: Path) -> None:
        """Imports into containerd, under the names that the archive gives."""
        self._images("import", str(archive))

    def tag(self, image: str, other: str) -> None:
        """Gives an image of the node a second name. Raises Unavailable when it is not there."""
        full = next(
            (name for name in self._images("list", "--quiet").split() if f"/{name}".endswith(f"/{image}")), image
        )
        self._images("tag", "--force", full, full.removesuffix(image) + other)

    def _images(self, *arguments: str) -> str:
        command = ["ctr", f"--address={self.layout.containerd}", "--namespace=k8s.io", "images", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False)
        if done.returncode:
            raise Unavailable(f"{' '.join(arguments)} failed in containerd: {done.stderr}")
        return done.stdout

    def audit_log(self) -> list[dict[str, Any]]:
        """The API server's own file."""
        # What follows the last line break is still being written.
        *lines, _ = self.layout.audit_log.read_text().split("\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """Ends the cluster and returns when nothing is left of it."""
        assert self.guard, "this process did not start the cluster"
        end_guard(self.guard)


def end_guard(guard: "subprocess.Popen[bytes]") -> None:
    """Asks the guard to end the cluster; returns when it has. Raises TimeoutExpired after a minute."""
    guard.terminate()
    if guard.stdin:
        guard.stdin.close()
    guard.wait(END_SECONDS)
