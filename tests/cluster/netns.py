"""A test run inside the cluster's network.

A network namespace belongs to a thread. The main thread enters it by setns(2) on ``/proc/<pid>/ns/net`` of the process
that holds the cluster; threads and children that it starts from then on are born inside. So tests, their event loops,
their subprocesses and their Postgres servers reach the API server, pods and Services directly, and pods reach them.
The other side: nothing in there leads out of the machine. ``outside`` goes back for what needs more.
"""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.cluster.names import ENV_OUTSIDE

CLONE_NEWNET: Final = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class _Place:
    """Open descriptors of the namespace that the process began in, and of the cluster's while it is inside."""

    home: int | None = None
    cluster: int | None = None


_place = _Place()


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """Moves the main thread into the network namespace of process ``pid`` for the block. Raises OSError."""
    assert threading.current_thread() is threading.main_thread(), "only what the main thread starts would be inside"
    assert _place.cluster is None, "already inside the network of a cluster"
    _place.home, _place.cluster = _open(os.environ.get(ENV_OUTSIDE, "self")), _open(str(pid))
    try:
        _enter(_place.cluster)
        yield
    finally:
        _enter(_place.home)
        os.close(_place.home)
        os.close(_place.cluster)
        _place.home = _place.cluster = None


@contextmanager
def outside() -> Iterator[None]:
    """Back in the machine's own network for the block, where the internet is; nothing changes when never inside."""
    if _place.home is None or _place.cluster is None:
        yield
        return
    _enter(_place.home)
    try:
        yield
    finally:
        _enter(_place.cluster)


def _open(process: str) -> int:
    return os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"entering the cluster's network: {os.strerror(number)}")
