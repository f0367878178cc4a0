"""Becomes a runner process that can't outlive its parent: `python launch.py PARENT_PID COMMAND…`.

On Linux the kernel sends SIGTERM to the runner when the process that started it dies, kill -9 included; a runner
drains on SIGTERM. Elsewhere nothing is set. This file is run by itself and imports nothing of ours: it starts fast.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Replaces this process by ``command``; ends with code 1 when ``parent`` is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the command is ours, no shell is involved


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
