"""A cluster that runs already, used because somebody named its kubeconfig context on purpose."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import Cluster, KubectlFailed, Unavailable
from tests.cluster.names import ENV_ADDRESS, ENV_CONTEXT, ENV_LOAD

LOAD_SECONDS = 600.0


@dataclass(frozen=True)
class ExistingCluster(Cluster):
    """``loader``: the command that takes an image archive as its last argument, empty when nobody gave one."""

    loader: tuple[str, ...] = ()

    def load(self, archive: Path) -> None:
        """By the command of the environment."""
        if not self.loader:
            raise Unavailable(f"nobody said how images get on the nodes of this cluster; cure: set {ENV_LOAD}")
        done = subprocess.run(
            [*self.loader, str(archive)], capture_output=True, text=True, timeout=LOAD_SECONDS, check=False
        )
        if done.returncode:
            raise Unavailable(f"{shlex.join(self.loader)} {archive} failed: {done.stderr}")

    def audit_log(self) -> list[dict[str, Any]]:
        """A running cluster does not give it away."""
        raise Unavailable("the audit log of an existing cluster can't be read; use the local provider")


def existing(environment: Mapping[str, str] = os.environ) -> ExistingCluster:
    """The cluster of the context that the environment names, and of no other.

    Raises Unavailable when it names none, when the kubeconfig has no such context, or when nobody answers there.
    """
    context = environment.get(ENV_CONTEXT)
    if not context:
        raise Unavailable(
            f"the provider `existing` writes into a real cluster, so it takes none by default (not even the current "
            f"context); cure: set {ENV_CONTEXT} to the name of the kubeconfig context to use"
        )
    kubectl = shutil.which("kubectl", path=environment.get("PATH"))
    if kubectl is None:
        raise Unavailable("there is no kubectl on the PATH; cure: install kubectl")
    kubeconfig = Path(environment.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    loader = tuple(shlex.split(environment.get(ENV_LOAD, "")))
    cluster = ExistingCluster(Path(kubectl), kubeconfig, context, environment.get(ENV_ADDRESS, "127.0.0.1"), loader)
    try:
        known = cluster.kubectl("config", "get-contexts", "-o", "name").split()
        if context not in known:
            raise Unavailable(f"{ENV_CONTEXT}={context}: {kubeconfig} has only {', '.join(known) or 'no context'}")
        cluster.kubectl("get", "--raw=/readyz", "--request-timeout=10s")
    except KubectlFailed as error:
        raise Unavailable(f"{ENV_CONTEXT}={context}: the cluster does not answer: {error}") from error
    return cluster
