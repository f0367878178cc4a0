"""What tests may ask of a Kubernetes cluster, whichever provider it comes from."""

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from tests.support.patience import until

KUBECTL_SECONDS = 60.0


class Unavailable(Exception):
    """There is no such cluster here, or it can't do that; the message says why and what helps."""


class KubectlFailed(Exception):
    """A kubectl command failed; the message holds the command and what it printed."""


@dataclass(frozen=True)
class Cluster(ABC):
    """A running cluster, with the rights of an administrator.

    ``kubectl_program``: the program to call. ``kubeconfig`` and ``context``: where it reaches the cluster.
    ``node_address``: the address at which pods reach what the test listens on.
    """

    kubectl_program: Path
    kubeconfig: Path
    context: str
    node_address: str

    @abstractmethod
    def load(self, archive: Path) -> None:
        """Puts the images of a ``docker save`` archive on every node. Raises Unavailable."""

    @abstractmethod
    def audit_log(self) -> list[dict[str, Any]]:
        """Every audited request so far: audit.k8s.io/v1 events of level Metadata, oldest first. Raises Unavailable."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which other programs find the cluster."""
        return {"KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS) -> str:
        """What the command prints. Raises KubectlFailed, also when it takes longer than ``timeout`` seconds."""
        command = [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}"]
        shown = f"kubectl {' '.join(arguments)}"
        try:
            done = subprocess.run(
                [*command, *arguments],
                input=stdin or "",
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(f"{shown}: no end within {timeout:g} s: {error.stderr!r}") from None
        if done.returncode:
            raise KubectlFailed(f"{shown}: exit code {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The same with ``-o json``, parsed."""
        return json.loads(self.kubectl(*arguments, "-o", "json"))

    def wait_for_definitions(self) -> None:
        """Until every CustomResourceDefinition is served; `kubectl wait` fails on one that has no conditions yet."""
        until(self._all_established, KUBECTL_SECONDS, "every definition is established")

    def _all_established(self) -> bool:
        found = self.json("get", "customresourcedefinitions")["items"]
        conditions = [it.get("status", {}).get("conditions") or () for it in found]
        return all(any((c["type"], c["status"]) == ("Established", "True") for c in each) for each in conditions)

    def apply(
        self, manifest: str | Mapping[str, Any] | Sequence[Mapping[str, Any]], namespace: str | None = None
    ) -> None:
        """Server-side apply of YAML text, an object or several objects. Raises KubectlFailed."""
        text = manifest
        if not isinstance(text, str):
            text = yaml.safe_dump_all([text] if isinstance(text, Mapping) else text)
        place = [f"--namespace={namespace}"] if namespace else []
        self.kubectl("apply", "--server-side", "--filename=-", *place, stdin=text)

    @contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """A fresh namespace, deleted at the end of the block without waiting for its finalization."""
        name = f"{prefix}-{uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def token(self, namespace: str, service_account: str) -> str:
        """A token with the rights of an existing ServiceAccount."""
        return self.kubectl("create", "token", service_account, f"--namespace={namespace}").strip()

    def kubeconfig_for(self, token: str, folder: Path, namespace: str = "default") -> Path:
        """Writes a kubeconfig that identifies itself by this token only."""
        shown = json.loads(self.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": shown["clusters"][0]["cluster"]}],
            "users": [{"name": "token", "user": {"token": token}}],
            "contexts": [{"name": "token", "context": {"cluster": "cluster", "user": "token", "namespace": namespace}}],
            "current-context": "token",
        }
        path = folder / f"kubeconfig-{uuid4().hex[:8]}"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return path
