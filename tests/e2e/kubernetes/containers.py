"""A container of a pod, seen from its node, which is this machine: what a test must do that no API offers."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def container_status(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """What the kubelet says of a container, how often it was started again among other things."""
    found: dict[str, Any] = next(one for one in pod["status"]["containerStatuses"] if one["name"] == name)
    return found


def restarts(pod: dict[str, Any]) -> int:
    """How often containers of a pod were started again."""
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))


def first_process(pod: dict[str, Any], name: str) -> int:
    """The process of this machine that is number 1 in a container."""
    container = container_status(pod, name)["containerID"].removeprefix("containerd://")
    (found,) = [pid for pid in _processes_in(container) if _number_inside(pid) == 1]
    return found


def kill_container(pod: dict[str, Any], name: str) -> None:
    """Ends it by SIGKILL: neither the process nor the kubelet is told beforehand."""
    os.kill(first_process(pod, name), signal.SIGKILL)


def _processes_in(container: str) -> Iterator[int]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and container in _text(path / "cgroup"):
            yield int(path.name)


def _number_inside(pid: int) -> int:
    """The process id in its own namespace."""
    (line,) = [line for line in _text(Path(f"/proc/{pid}/status")).splitlines() if line.startswith("NSpid:")]
    return int(line.split()[-1])


def _text(path: Path) -> str:
    """Nothing for a process that has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
