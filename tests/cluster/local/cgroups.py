"""The control group that a cluster's pods are below, in every hierarchy that the machine has (versions 1 and 2)."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mounts")
INHERITED: Final = ("cpuset.cpus", "cpuset.mems")
"""Version 1 starts them empty, and no process could enter."""


def make_cgroup(name: str) -> None:
    """Makes the group, with every controller that the machine offers. Raises OSError."""
    for root in _hierarchies():
        offered = root / "cgroup.controllers"
        if offered.exists():
            _hand_down(root, offered.read_text().split())
        group = root / name
        group.mkdir(exist_ok=True)
        for setting in INHERITED:
            if (root / setting).exists() and not offered.exists():
                (group / setting).write_text((root / setting).read_text())


def remove_cgroup(name: str) -> None:
    """Removes the group and all below it, where it exists; what still holds a process stays."""
    for root in _hierarchies():
        for folder, _, _ in os.walk(root / name, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)  # noqa: PTH106 - beside os.walk


def cgroups_of(name: str) -> list[Path]:
    """Where the group exists."""
    return [root / name for root in _hierarchies() if (root / name).exists()]


def _hierarchies() -> Iterator[Path]:
    for line in MOUNTS.read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(place)


def _hand_down(root: Path, controllers: list[str]) -> None:
    """Offers the controllers of version 2 to the groups below ``root``."""
    for controller in controllers:
        try:
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EINVAL, errno.ENOENT):
                raise
