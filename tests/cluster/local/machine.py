"""What a node needs from its machine, made inside namespaces of its own: nothing of it is left when they end."""

import subprocess
from pathlib import Path
from typing import Final

from tests.cluster.local.cgroups import make_cgroup
from tests.cluster.local.layout import NODE_ADDRESS, Layout

BELOW: Final = ("/var/lib", "/var/log")
"""Where components keep things under fixed names, hidden by folders of the cluster."""

TUNED: Final = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Settings of the whole machine that kubelet insists on changing; it gets files of its own instead."""

NETWORK: Final = (
    "ip link set lo up",
    # Both ends in here: a device that carries the node's address and leads nowhere.
    "ip link add node0 type veth peer name node0p",
    f"ip address add {NODE_ADDRESS}/24 dev node0",
    "ip link set node0p up",
    "ip link set node0 up",
    # Service addresses need a route before they are rewritten; nothing leaves the machine by this one.
    "ip route add default dev node0",
)

FORWARDING: Final = ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables")


def prepare_machine(layout: Layout) -> None:
    """Mounts, network and control group. Raises CalledProcessError and OSError."""
    _mounts(layout)
    for command in NETWORK:
        _run(*command.split())
    for name in FORWARDING:
        setting = Path("/proc/sys") / name
        # Without the bridge filter in the kernel, bridged packets are never kept from the rules.
        if setting.exists():
            setting.write_text("1")
    make_cgroup(layout.cgroup)


def _mounts(layout: Layout) -> None:
    settings = layout.data("settings")
    settings.mkdir(parents=True)
    for name in TUNED:
        original, stand_in = Path("/proc/sys") / name, settings / name.replace("/", ".")
        if original.exists():
            stand_in.write_text(original.read_text())
            _run("mount", "--bind", str(stand_in), str(original))
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for place in BELOW:
        folder = layout.data(place.strip("/").replace("/", "-"))
        folder.mkdir()
        _run("mount", "--bind", str(folder), place)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
