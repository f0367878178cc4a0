"""What the handlers did, in a file that all processes map into memory: it outlives a worker that is killed."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from benchmarks.rabbitmq.sessions import FIRST

_STAMP = 8
"""Bytes of a time."""


class Board:
    """A start time (ns of CLOCK_MONOTONIC, 0 for none) and a count of calls (at most 255) per message."""

    def __init__(self, path: str | Path, messages: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(descriptor, (_STAMP + 1) * messages)
        self._counts_at = _STAMP * messages
        self._memory = mmap.mmap(descriptor, (_STAMP + 1) * messages)
        os.close(descriptor)
        view = memoryview(self._memory)
        self.starts = view[: self._counts_at].cast("Q")
        self.counts = view[self._counts_at :]

    def hit(self, number: int) -> None:
        """Note a call of the handler for the message `number`; about 0.3 us."""
        place = number - FIRST
        self.counts[place] += 1
        if not self.starts[place]:
            self.starts[place] = time.monotonic_ns()

    def done(self) -> int:
        """How many messages have been handled at least once."""
        counts = self._memory[self._counts_at :]
        return len(counts) - counts.count(0)

    def repeated(self) -> int:
        """How many calls were for a message that had been handled before."""
        return sum(count - 1 for count in self._memory[self._counts_at :] if count > 1)
