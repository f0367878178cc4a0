"""Where a local cluster keeps its things: one folder, removed when the cluster ends."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

NODE: Final = "node0"
NODE_ADDRESS: Final = "10.89.0.1"
API_SERVER: Final = f"https://{NODE_ADDRESS}:6443"
SERVICE_RANGE: Final = "10.96.0.0/16"
POD_RANGE: Final = "10.88.0.0/16"
PAUSE_IMAGE: Final = "workerpool.test/pause:1"
ADMIN: Final = "admin"
IDENTITIES: Final = {
    ADMIN: "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    f"system:node:{NODE}": "system:nodes",
}
"""Who may call the API server with a token of their own, and the group that each is in."""


def clusters_home() -> Path:
    """The folder that holds the folders of all local clusters of this user."""
    return platformdirs.user_state_path("workerpool") / "cluster"


@dataclass(frozen=True)
class Layout:
    """The files of the cluster in ``folder``, whose name is also the cluster's."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the cluster, also of its control group."""
        return self.folder.name

    @property
    def cgroup(self) -> str:
        """The control group that all pods are below."""
        return f"workerpool-{self.name}"

    @property
    def lock(self) -> Path:
        """Locked as long as somebody looks after the cluster."""
        return self.folder / "lock"

    @property
    def guard_pid(self) -> Path:
        """Holds the process id of the guard."""
        return self.folder / "guard.pid"

    @property
    def keeper_pid(self) -> Path:
        """Holds the process id of the keeper, as seen from outside."""
        return self.folder / "keeper.pid"

    @property
    def control(self) -> Path:
        """The keeper's socket."""
        return self.folder / "control.sock"

    @property
    def containerd(self) -> Path:
        """The socket of containerd."""
        return self.folder / "containerd.sock"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked, a JSON object per line."""
        return self.folder / "logs" / "audit.log"

    def log(self, component: str) -> Path:
        """Everything that a component printed."""
        return self.folder / "logs" / f"{component}.log"

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """How one of ``IDENTITIES`` reaches the API server."""
        return self.folder / "config" / f"{user.replace(':', '-')}.kubeconfig"

    def config(self, name: str) -> Path:
        """A configuration file."""
        return self.folder / "config" / name

    def data(self, component: str) -> Path:
        """The folder in which a component keeps its state."""
        return self.folder / "data" / component
