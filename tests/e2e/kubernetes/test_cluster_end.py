"""Whatever ends a cluster, nothing is left of it: no process, namespace, mount, control group or folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cluster.local import starter
from tests.cluster.local.cgroups import cgroups_of
from tests.cluster.local.layout import Layout, clusters_home
from tests.cluster.names import ENV_ATTACH
from tests.support.commands import run_command
from tests.support.patience import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.usefixtures("local_machine")]

ROOT = Path(__file__).parents[3]
START = "from tests.cluster.local import starter; starter.start({name!r}, attended=True); print('ready'); input()"

INSIDE = ".venv/bin/python -m tests.cluster run -- .venv/bin/pytest -m kubernetes tests/e2e/kubernetes/test_cluster.py"


@dataclass
class Started:
    """A cluster of this test: its files, and the process that started it."""

    layout: Layout
    starter: "subprocess.Popen[bytes]"


@dataclass(frozen=True)
class Traces:
    """What a running cluster is made of. ``namespaces``: of every kind, as the links in /proc name them."""

    processes: frozenset[int]
    namespaces: frozenset[str]

    def left(self) -> list[str]:
        """Those that are still there; a process id that was given again does not count."""
        left = [f"process {pid}" for pid in self.processes if _namespaces(pid) & self.namespaces]
        mounts = (pid for pid in _processes() if _namespaces(pid) & self.namespaces)
        return left + [f"a namespace, held by {pid}" for pid in mounts]


def _processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _namespaces(pid: int) -> frozenset[str]:
    """Network, PID and mount namespace of a process; empty for one that is gone."""
    try:
        return frozenset(str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("net", "pid", "mnt"))
    except OSError:
        return frozenset()


def _traces(layout: Layout) -> Traces:
    """The keeper's namespaces and all processes in them."""
    own = _namespaces(os.getpid())
    keeper = _namespaces(int(layout.keeper_pid.read_text())) - own
    processes = frozenset(pid for pid in _processes() if _namespaces(pid) & keeper)
    return Traces(processes, keeper)


def _in_mounts(layout: Layout) -> bool:
    return str(layout.folder) in Path("/proc/self/mounts").read_text()


@pytest.fixture
def started() -> Iterator[Started]:
    """A cluster with a starter of its own, both gone at the end."""
    name = f"end-{uuid4().hex[:8]}"
    command = [sys.executable, "-c", START.format(name=name)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield Started(Layout(clusters_home() / name), process)
        process.kill()
        starter.stop(name)


def assert_nothing_left(layout: Layout, traces: Traces) -> None:
    until(lambda: not layout.folder.exists(), 60, f"{layout.folder} is removed")
    assert traces.left() == []
    assert cgroups_of(layout.cgroup) == []
    assert not _in_mounts(layout)


def test_a_killed_starter_leaves_nothing(started: Started) -> None:
    traces = _traces(started.layout)
    assert len(traces.processes) > 7
    assert len(traces.namespaces) == 3
    assert cgroups_of(started.layout.cgroup)
    started.starter.kill()
    assert_nothing_left(started.layout, traces)


def test_a_killed_guard_takes_all_processes_along_and_the_next_start_removes_the_rest(started: Started) -> None:
    traces = _traces(started.layout)
    os.kill(int(started.layout.guard_pid.read_text()), signal.SIGKILL)
    until(lambda: not traces.left(), 60, traces.left)
    assert started.layout.folder.exists()
    starter.remove_leftovers()
    assert_nothing_left(started.layout, traces)


def test_a_cluster_by_hand_as_the_contributing_page_says() -> None:
    name = f"hand-{uuid4().hex[:8]}"
    layout = Layout(clusters_home() / name)
    try:
        assert "the cluster is ready after" in _succeed(name, "make cluster")
        assert "the cluster runs already" in _succeed(name, f"{sys.executable} -m tests.cluster up")
        assert "kubelet" in _succeed(name, f"{sys.executable} -m tests.cluster status")
        traces = _traces(layout)
        assert " passed" in _succeed(name, INSIDE)
    finally:
        assert "the cluster is gone" in _succeed(name, "make cluster-down")
    assert_nothing_left(layout, traces)
    assert "there was no cluster" in _succeed(name, f"{sys.executable} -m tests.cluster down")


def test_without_a_cluster_the_command_says_what_helps() -> None:
    done = _run(f"none-{uuid4().hex[:8]}", f"{sys.executable} -m tests.cluster run -- true")
    assert (done.returncode, done.stdout) == (1, "» no cluster runs; cure: make cluster\n")


def _succeed(name: str, command: str) -> str:
    done = _run(name, command)
    assert done.returncode == 0, done.stdout
    return done.stdout


def _run(name: str, command: str) -> subprocess.CompletedProcess[str]:
    """A command about the cluster of this name."""
    return run_command(command.split(), ROOT, {**os.environ, ENV_ATTACH: name}, 200)
