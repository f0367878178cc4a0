"""The folder of one project on this machine, and the lock that lets one `up` at a time work in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "up.lock"


class StateInUse(Exception):
    """Another `up` works in the folder; ``pid`` is its process, None when it can't be told."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        """Names the process and the cure."""
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} already runs `workerpool up` for this project ({folder}); stop it, or change its manifest"
        )
        self.pid = pid


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; made when missing. Raises StateInUse or OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    # The lock belongs to the open file: the kernel gives it back however this process ends.
    with (folder / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            text = lock.read().strip()
            raise StateInUse(folder, int(text) if text.isdigit() else None) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)
