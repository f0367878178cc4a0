"""A cluster made by kind, for machines with Docker that can get kind's node image."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.cluster.api import Cluster, Unavailable
from tests.cluster.audit import audit_policy
from tests.cluster.binaries import say

ADMIN = "kubernetes-admin"
"""The user of kind's own kubeconfig."""
START_SECONDS = 600.0
AUDIT_LOG = "/var/log/kubernetes/audit.log"
"""Inside the node."""


@dataclass(frozen=True)
class KindCluster(Cluster):
    """``name``: the cluster's name, as kind knows it."""

    name: str

    def load(self, archive: Path) -> None:
        """By ``kind load``."""
        _run("kind", "load", "image-archive", f"--name={self.name}", str(archive))

    def audit_log(self) -> list[dict[str, Any]]:
        """Read from the node's own file system."""
        text = _run("docker", "exec", f"{self.name}-control-plane", "cat", AUDIT_LOG)
        return [json.loads(line) for line in text.splitlines()]


@contextmanager
def kind() -> Iterator[KindCluster]:
    """A fresh cluster, removed at the end of the block. Raises Unavailable."""
    for program in ("kind", "docker", "kubectl"):
        if shutil.which(program) is None:
            raise Unavailable(f"the provider `kind` needs the program {program} on the PATH; cure: install it")
    name = f"workerpool-{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="workerpool-kind-") as folder:
        home = Path(folder)
        home.joinpath("audit-policy.json").write_text(json.dumps(audit_policy(ADMIN)))
        home.joinpath("kind.json").write_text(json.dumps(_configuration(home)))
        say("kind creates a cluster; the first time it downloads the node's image")
        try:
            _run(
                *("kind", "create", "cluster", f"--name={name}", f"--config={home / 'kind.json'}"),
                *(f"--kubeconfig={home / 'kubeconfig'}", "--wait=120s"),
            )
            yield KindCluster(
                Path(shutil.which("kubectl") or "kubectl"), home / "kubeconfig", f"kind-{name}", _gateway(), name
            )
        finally:
            _run("kind", "delete", "cluster", f"--name={name}", f"--kubeconfig={home / 'kubeconfig'}")


def _gateway() -> str:
    """The address of this machine in kind's own Docker network (IPv4)."""
    networks = json.loads(_run("docker", "network", "inspect", "kind"))
    gateways = [str(place.get("Gateway", "")) for place in networks[0]["IPAM"]["Config"]]
    return next(address for address in gateways if "." in address)


def _configuration(home: Path) -> dict[str, Any]:
    arguments = {"audit-policy-file": "/etc/kubernetes/audit/policy.json", "audit-log-path": AUDIT_LOG}
    mounts = [
        {"name": "policy", "hostPath": "/etc/kubernetes/audit", "mountPath": "/etc/kubernetes/audit", "readOnly": True},
        {"name": "log", "hostPath": "/var/log/kubernetes", "mountPath": "/var/log/kubernetes"},
    ]
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": arguments | {"audit-log-mode": "blocking"}, "extraVolumes": mounts},
    }
    policy = {
        "hostPath": str(home / "audit-policy.json"),
        "containerPath": "/etc/kubernetes/audit/policy.json",
        "readOnly": True,
    }
    node = {"role": "control-plane", "kubeadmConfigPatches": [json.dumps(patch)], "extraMounts": [policy]}
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node]}


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    if done.returncode:
        raise Unavailable(f"`{' '.join(command)}` failed: {done.stderr[-3000:]}")
    return done.stdout
