"""The guard of a local cluster: starts the keeper, and removes what is left of the cluster when it ends.

``guard FOLDER PROGRAMS attended|alone``. An attended cluster ends with its starter: the guard's standard input is a
pipe from there, and a dead starter closes it. Any cluster ends by SIGTERM to the guard. Should the guard itself be
killed, the keeper dies with it, and the next start of any cluster removes the folder (``starter.remove_leftovers``).
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.cluster.local.cgroups import remove_cgroup
from tests.cluster.local.layout import Layout

UNSHARE = (
    # Ends with the guard …
    *("setpriv", "--pdeathsig", "KILL"),
    # … and takes the keeper along.
    *("unshare", "--fork", "--kill-child", "--net", "--pid", "--mount", "--propagation", "private", "--mount-proc"),
)


def main() -> None:
    """Stays until the cluster has to end."""
    layout, programs, attended = Layout(Path(sys.argv[1])), sys.argv[2], sys.argv[3] == "attended"
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    layout.guard_pid.write_text(str(os.getpid()))
    command = [*UNSHARE, sys.executable, "-m", "tests.cluster.local.keeper", str(layout.folder), programs]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            ended = os.pidfd_open(process.pid)
            _note_keeper(layout, process)
            select.select([woken, ended, *([sys.stdin] if attended else [])], [], [])
        finally:
            _end(layout, process)
    remove(layout)


def _note_keeper(layout: Layout, unshare: "subprocess.Popen[bytes]") -> None:
    """Writes down the keeper's process id once ``unshare`` has started it."""
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    while not (found := children.read_text().split()):
        os.sched_yield()
        if unshare.poll() is not None:
            return
    unfinished = layout.keeper_pid.with_suffix(".new")
    unfinished.write_text(found[0])
    unfinished.rename(layout.keeper_pid)


def _end(layout: Layout, unshare: "subprocess.Popen[bytes]") -> None:
    """Returns when every process of the cluster is gone: the first of a PID namespace goes last."""
    keeper = None
    with suppress(OSError, ValueError):
        keeper = os.pidfd_open(int(layout.keeper_pid.read_text()))
    unshare.kill()
    unshare.wait()
    if keeper is not None:
        select.select([keeper], [], [])
        os.close(keeper)


def remove(layout: Layout) -> None:
    """Removes what outlives the processes: the control group and the folder."""
    remove_cgroup(layout.cgroup)
    shutil.rmtree(layout.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
