"""What handlers really did, told by themselves: the truth that tests hold against the engine's own tables.

A file, not a table: it goes on while the server is down, and a line that was written outlives a killed process.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

ENV_WITNESS: Final = "CRASH_APP_WITNESS"
"""Names the witness's file to the app of the crash tests."""
ENV_GATES: Final = "CRASH_APP_GATES"
"""Names the folder of gates to the app of the crash tests."""


class Event(NamedTuple):
    """``what`` happened to the job ``key`` in process ``pid``; ``at``: monotonic seconds, one clock per machine."""

    what: str
    key: int
    pid: int
    at: float


@dataclass
class Witness:
    """An append-only file of events; any number of processes write, each line in one piece."""

    path: Path
    _descriptor: int | None = field(default=None, repr=False)

    def write(self, what: str, key: int) -> None:
        """Notes one event; when this returns, the death of the process can't undo it."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._descriptor, f"{what} {key} {os.getpid()} {time.monotonic():.6f}\n".encode())

    def __len__(self) -> int:
        return self.path.read_bytes().count(b"\n") if self.path.exists() else 0

    def events(self, what: str | None = None, key: int | None = None) -> list[Event]:
        """All events, or those of one kind or one job, in the order of writing."""
        if not self.path.exists():
            return []
        rows = (line.split() for line in self.path.read_text().splitlines())
        found = [Event(row[0], int(row[1]), int(row[2]), float(row[3])) for row in rows]
        return [one for one in found if what in (None, one.what) and key in (None, one.key)]

    def counts(self, what: str) -> Counter[int]:
        """How often ``what`` happened to each job."""
        return Counter(event.key for event in self.events(what))

    def keys(self, what: str) -> set[int]:
        """The jobs that ``what`` happened to."""
        return {event.key for event in self.events(what)}
