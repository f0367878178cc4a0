"""Log files of runner processes: opening, following, and the last words of one that ended."""

from pathlib import Path
from typing import BinaryIO

ROTATE_AT = 10 * 1024 * 1024
TAIL = 4096
LONGEST = 200


def open_log(path: Path) -> BinaryIO:
    """Opens ``path`` for appending; a file over 10 MiB first moves to ``path``.1. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > ROTATE_AT:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def last_line(path: Path) -> str:
    """The last line that says something, shortened; empty when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - TAIL))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:LONGEST] for line in reversed(lines) if line.strip()), "")


class LogFollower:
    """New lines of all log files in a folder, from the moment it was made."""

    def __init__(self, folder: Path) -> None:
        """Files that exist now are followed from their end."""
        self._folder = folder
        self._offsets = {path: path.stat().st_size for path in folder.glob("*.log")}

    def poll(self) -> list[str]:
        """Complete lines written since the last call, each with the name of its replica in front."""
        lines: list[str] = []
        for path in sorted(self._folder.glob("*.log")):
            start = self._offsets.get(path, 0)
            with path.open("rb") as log:
                if log.seek(0, 2) < start:
                    start = 0
                log.seek(start)
                text = log.read()
            end = text.rfind(b"\n") + 1
            self._offsets[path] = start + end
            lines += [f"{path.stem} | {line}" for line in text[:end].decode(errors="replace").splitlines()]
        return lines
