"""The command line of every component of a local cluster."""

from pathlib import Path
from typing import Final

from tests.cluster.local.layout import NODE, NODE_ADDRESS, SERVICE_RANGE, Layout

CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "containerd")
"""What starts first, in this order; the rest wants an API server that answers."""
FOLLOWERS: Final = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
ETCD: Final = "http://127.0.0.1:2379"


def component_command(name: str, layout: Layout, programs: Path) -> list[str]:
    """Program and arguments of a component. Raises KeyError for a name that is none."""
    return [str(part) for part in _COMMANDS[name](layout, programs)]


def _etcd(layout: Layout, _: Path) -> list[object]:
    return [
        "etcd",
        f"--data-dir={layout.data('etcd')}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--logger=zap",
    ]


def _api_server(layout: Layout, programs: Path) -> list[object]:
    key = layout.config("service-accounts.key")
    return [
        programs / "kube-apiserver",
        f"--etcd-servers={ETCD}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--cert-dir={layout.data('kube-apiserver')}",
        f"--token-auth-file={layout.config('tokens.csv')}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={layout.config('audit-policy.yaml')}",
        f"--audit-log-path={layout.audit_log}",
        # An answered request is in the log: tests read it right after.
        "--audit-log-mode=blocking",
    ]


def _controller_manager(layout: Layout, programs: Path) -> list[object]:
    return [
        programs / "kube-controller-manager",
        f"--kubeconfig={layout.kubeconfig('system:kube-controller-manager')}",
        f"--service-account-private-key-file={layout.config('service-accounts.key')}",
        f"--root-ca-file={layout.data('kube-apiserver') / 'apiserver.crt'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        # A kubelet that a test pauses, on a machine that stands still at times, must not lose its node to that.
        "--node-monitor-grace-period=180s",
    ]


def _scheduler(layout: Layout, programs: Path) -> list[object]:
    return [
        programs / "kube-scheduler",
        f"--kubeconfig={layout.kubeconfig('system:kube-scheduler')}",
        "--leader-elect=false",
    ]


def _containerd(layout: Layout, _: Path) -> list[object]:
    return ["containerd", f"--config={layout.config('containerd.toml')}"]


def _kubelet(layout: Layout, programs: Path) -> list[object]:
    return [
        programs / "kubelet",
        f"--config={layout.config('kubelet.yaml')}",
        f"--kubeconfig={layout.kubeconfig(f'system:node:{NODE}')}",
        f"--root-dir={layout.data('kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_ADDRESS}",
    ]


def _proxy(layout: Layout, programs: Path) -> list[object]:
    return [programs / "kube-proxy", f"--config={layout.config('kube-proxy.yaml')}", f"--hostname-override={NODE}"]


_COMMANDS: Final = {
    "etcd": _etcd,
    "kube-apiserver": _api_server,
    "containerd": _containerd,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
    "kubelet": _kubelet,
    "kube-proxy": _proxy,
}
