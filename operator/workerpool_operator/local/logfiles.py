"""Log files of runner processes: opening, rotating, following, and the last words of one that ended."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

ROTATE_AT = 10 * 1024 * 1024
TAIL = 4096
LONGEST = 200


def open_log(path: Path) -> BinaryIO:
    """Opens ``path`` for appending; a file over 10 MiB first moves to ``path``.1. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > ROTATE_AT:
        path.replace(_older(path))
    return path.open("ab")


def rotate(path: Path, limit: int = ROTATE_AT) -> None:
    """Moves what a running process has written to ``path``.1 once it is over ``limit`` bytes.

    The process keeps its open file, so the text is copied and the file cut to nothing: it appends from there. A line
    written in between is lost. No file is no error; raises OSError when the disk is full.
    """
    if path.exists() and path.stat().st_size > limit:
        shutil.copyfile(path, _older(path))
        os.truncate(path, 0)


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
            rest = b""
            with path.open("rb") as log:
                if log.seek(0, 2) < start:
                    rest, start = _from(_older(path), start), 0
                log.seek(start)
                text = log.read()
            end = text.rfind(b"\n") + 1
            self._offsets[path] = start + end
            whole = rest + text[:end]
            lines += [f"{path.stem} | {line}" for line in whole.decode(errors="replace").splitlines()]
        return lines


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _from(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(start)
            return log.read()
    except OSError:
        return b""
