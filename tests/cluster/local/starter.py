"""Starting, finding and ending local clusters."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from tests.cluster.api import KubectlFailed, Unavailable
from tests.cluster.archive import program_archive
from tests.cluster.binaries import binary_dir, say
from tests.cluster.components import Components
from tests.cluster.local.commands import CONTROL_PLANE, FOLLOWERS
from tests.cluster.local.guard import remove
from tests.cluster.local.layout import PAUSE_IMAGE, Layout, clusters_home
from tests.cluster.local.provider import LocalCluster, end_guard
from tests.support.patience import until

ROOT: Final = Path(__file__).resolve().parents[3]
END_SECONDS: Final = 60.0
MODULES: Final = ("kubernetes", "pods")
PROGRAMS: Final = ("etcd", "containerd", "ctr", "runc", "iptables", "conntrack", "ip", "unshare", "setpriv", "openssl")


def start(name: str, *, attended: bool) -> LocalCluster:
    """Starts a cluster and returns when its node is Ready, half a minute later.

    ``attended``: it ends with this process; otherwise it stays until ``stop``. Raises Unavailable, also when a cluster
    of this name runs.
    """
    check_machine()
    programs, pods = (binary_dir(module) for module in MODULES)
    layout = Layout(clusters_home() / name)
    with ExitStack() as undo:
        lock = _claim(layout)
        undo.callback(os.close, lock)
        output = undo.enter_context(tempfile.TemporaryFile())
        guard = _start_guard(layout, programs, lock, output, attended=attended)
        abandon = undo.enter_context(ExitStack())
        abandon.callback(end_guard, guard)
        cluster = LocalCluster.of(layout, programs)
        try:
            _bring_up(cluster, pods / "pause")
        except (AssertionError, KubectlFailed, OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"the cluster does not start: {error}\n{_explain(layout, output)}") from error
        abandon.pop_all()
        return LocalCluster.of(layout, programs, guard)


def check_machine() -> None:
    """Raises Unavailable when this machine can't run a local cluster."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Unavailable("the local test cluster needs Linux and root; cure: run as root, or name another provider")
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        raise Unavailable(f"the local test cluster lacks {', '.join(missing)}; cure: make system")


def find(name: str) -> LocalCluster | None:
    """The running cluster of this name, None when there is none."""
    layout = Layout(clusters_home() / name)
    if not layout.keeper_pid.exists() or not _is_locked(layout):
        return None
    return LocalCluster.of(layout, binary_dir("kubernetes"))


def stop(name: str) -> bool:
    """Ends a cluster and returns when nothing is left of it; False when there was none."""
    layout = Layout(clusters_home() / name)
    found = layout.guard_pid.exists() and _is_locked(layout)
    if found:
        os.kill(int(layout.guard_pid.read_text()), signal.SIGTERM)
        until(lambda: not layout.folder.exists(), END_SECONDS, f"{layout.folder} is removed")
    remove_leftovers()
    return found


def remove_leftovers() -> None:
    """Removes what is left of clusters whose guard was killed, or whose machine went down."""
    with _registry():
        for folder in clusters_home().iterdir():
            if folder.is_dir() and not _is_locked(Layout(folder)):
                remove(Layout(folder))


@contextmanager
def _registry() -> Iterator[None]:
    """Only one process at a time makes folders or judges them."""
    home = clusters_home()
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _claim(layout: Layout) -> int:
    """The descriptor of the lock on a new folder."""
    remove_leftovers()
    with _registry():
        try:
            layout.folder.mkdir(mode=0o755)
        except FileExistsError:
            raise Unavailable(f"a cluster named {layout.name} runs already") from None
        lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock


def _is_locked(layout: Layout) -> bool:
    try:
        with layout.lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _start_guard(
    layout: Layout, programs: Path, lock: int, output: IO[bytes], *, attended: bool
) -> "subprocess.Popen[bytes]":
    """The guard shares the lock; an attended one also waits for the end of a pipe that only this process can write."""
    mode = "attended" if attended else "alone"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.local.guard", str(layout.folder), str(programs), mode],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        stdin=subprocess.PIPE if attended else subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=[lock],
        start_new_session=True,
    )


def _bring_up(cluster: LocalCluster, pause: Path) -> None:
    """Starts the components in their order. Raises AssertionError when one is not ready in time."""
    layout, components = cluster.layout, cluster.components
    until(lambda: _listens(components), 10, "the keeper listens")
    say("starting etcd, the API server and containerd")
    for name in CONTROL_PLANE:
        components.start(name)
    until(layout.containerd.exists, 30, "containerd listens")
    archive = layout.config("pause.tar")
    program_archive(pause, PAUSE_IMAGE, archive)
    cluster.load(archive)
    cluster.wait_api()
    say("starting the controllers, the scheduler and the node")
    for name in FOLLOWERS:
        components.start(name)
    cluster.wait_ready()


def _listens(components: Components) -> bool:
    try:
        components.running()
    except OSError:
        return False
    return True


def _explain(layout: Layout, output: IO[bytes]) -> str:
    """The ends of everything that was printed."""
    output.seek(0)
    texts = {"guard": output.read().decode(errors="replace")}
    for log in sorted((layout.folder / "logs").glob("*.log")):
        texts[log.stem] = log.read_text(errors="replace")
    return "\n".join(f"== {name}\n{text[-1500:]}" for name, text in texts.items() if text)
