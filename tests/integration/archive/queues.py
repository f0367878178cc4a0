"""The queue of an archive process as a test sees it from outside: puts messages in, counts them, stops the server."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import psutil

from tests.support.postgres import Server
from tests.support.tables import Tables
from workerpool_contract.archive import DEFAULT_QUEUE


class Queue(Protocol):
    """One queue on a server of its own. ``url``: where a runner finds it."""

    url: str

    def send(self, payloads: Sequence[Mapping[str, object]]) -> None:
        """Puts messages on the archive's queue."""
        ...

    def unfinished(self) -> int:
        """Messages that nobody has acknowledged."""
        ...

    def costs(self) -> set[tuple[int, int]]:
        """Attempts and crashes charged to any of them."""
        ...

    def dead(self) -> int:
        """Dead letters."""
        ...

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Within the block the server is there and says nothing."""
        ...


@dataclass
class PostgresQueue:
    """A database of a server that the test may stop."""

    server: Server
    url: str

    @property
    def tables(self) -> Tables:
        """The engine's tables."""
        return Tables(self.url)

    def send(self, payloads: Sequence[Mapping[str, object]]) -> None:
        """Puts messages on the archive's queue."""
        self.tables.enqueue(DEFAULT_QUEUE, payloads)

    def unfinished(self) -> int:
        """Messages that nobody has acknowledged."""
        return self.tables.unfinished()

    def costs(self) -> set[tuple[int, int]]:
        """Attempts and crashes charged to any of them."""
        return {(row["attempts"], row["crashes"]) for row in [*self.tables.jobs(), *self.tables.history()]}

    def dead(self) -> int:
        """Dead letters."""
        return len(self.tables.dead())

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Every process of the server is stopped meanwhile."""
        postmaster = psutil.Process(self.server.pid)
        postmaster.send_signal(signal.SIGSTOP)
        processes = [postmaster, *postmaster.children()]
        for process in processes[1:]:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGCONT)
