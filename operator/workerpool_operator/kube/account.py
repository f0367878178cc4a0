"""The ServiceAccount that a pod runs under: where its API server is, and the token to call it with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts token, certificate and namespace."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """``server``: "https://ADDRESS:PORT". ``folder``: holds the files ``token``, ``ca.crt`` and ``namespace``."""

    server: str
    folder: Path = FOLDER

    @property
    def authority(self) -> Path:
        """The certificate that the API server's own one is checked with."""
        return self.folder / "ca.crt"

    def token(self) -> str:
        """The token as it is now: Kubernetes replaces the file about every hour. Raises OSError."""
        return (self.folder / "token").read_text(encoding="ascii").strip()

    def namespace(self) -> str:
        """The namespace of the pod. Raises OSError."""
        return (self.folder / "namespace").read_text(encoding="utf-8").strip()


def service_account(environment: Mapping[str, str], folder: Path = FOLDER) -> ServiceAccount | None:
    """The account of the pod that this process runs in; None outside of a pod.

    The server is taken by its address in the environment: the name kubernetes.default.svc needs a cluster DNS.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port and (folder / "token").exists()):
        return None
    return ServiceAccount(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", folder)
