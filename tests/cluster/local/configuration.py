"""The configuration files of a local cluster."""

import json
import secrets
import subprocess
from typing import Any

from tests.cluster.audit import audit_policy
from tests.cluster.local.layout import ADMIN, API_SERVER, IDENTITIES, NODE_ADDRESS, PAUSE_IMAGE, POD_RANGE, Layout

CNI_PLUGINS = "/usr/lib/cni"

CONTAINERD = """version = 2
root = "{data}"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE no process may lower its oom_score_adj, and every sandbox would fail.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def write_configuration(layout: Layout) -> None:
    """Writes every file that a component reads at its start, new secrets included."""
    for folder in ("config", "config/cni", "logs", "data"):
        (layout.folder / folder).mkdir(exist_ok=True)
    tokens = {user: secrets.token_hex(16) for user in IDENTITIES}
    lines = [f'{token},{user},{user},"{IDENTITIES[user]}"' for user, token in tokens.items()]
    layout.config("tokens.csv").write_text("\n".join(lines) + "\n")
    for user, token in tokens.items():
        _write(layout, layout.kubeconfig(user).name, _kubeconfig(layout, user, token))
    _write(layout, "audit-policy.yaml", audit_policy(ADMIN))
    _write(layout, "kubelet.yaml", _kubelet(layout))
    _write(layout, "kube-proxy.yaml", _kube_proxy(layout))
    _write(layout, "cni/10-bridge.conflist", _network(layout))
    layout.config("containerd.toml").write_text(
        CONTAINERD.format(
            data=layout.data("containerd"),
            socket=layout.containerd,
            pause=PAUSE_IMAGE,
            cni_plugins=CNI_PLUGINS,
            cni=layout.config("cni"),
        )
    )
    key = layout.config("service-accounts.key")
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)


def _write(layout: Layout, name: str, content: dict[str, Any]) -> None:
    # YAML holds JSON.
    layout.config(name).write_text(json.dumps(content, indent=2))


def _kubeconfig(layout: Layout, user: str, token: str) -> dict[str, Any]:
    name = f"workerpool-{layout.name}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": API_SERVER,
                    "certificate-authority": str(layout.data("kube-apiserver") / "apiserver.crt"),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "containerRuntimeEndpoint": f"unix://{layout.containerd}",
        # Nobody answers there: names fail at once, and pods carry no warning about missing DNS.
        "clusterDNS": ["127.0.0.1"],
        "clusterDomain": "cluster.local",
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "oomScoreAdj": 0,
        "podLogsDir": "/var/log/pods",
        "registerNode": True,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
    }


def _kube_proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig("system:kube-proxy"))},
        "clusterCIDR": POD_RANGE,
        "conntrack": {"maxPerCore": 0},
        "mode": "iptables",
        "oomScoreAdj": 0,
        "bindAddress": NODE_ADDRESS,
    }


def _network(layout: Layout) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(layout.data("addresses")),
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
