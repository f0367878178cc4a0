"""What a stretch of time cost: CPU by who used it, WAL, commits."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg

DISTURBED = 0.30
"""CPU (in cores) used by others, or taken by the host, above which a run is repeated."""
GLANCE = 0.5
"""Seconds that the machine is watched to see whether it is quiet."""


@dataclass(frozen=True)
class Reading:
    """Totals at one moment: times in seconds, CPU in CPU seconds, WAL in bytes. `server`: None for a foreign one."""

    at: float
    programs: float
    server: float | None
    harness: float
    busy: float
    steal: float
    wal: int


@dataclass(frozen=True)
class Cost:
    """The difference of two readings."""

    seconds: float
    programs: float
    server: float | None
    others: float
    steal: float
    wal: int

    @property
    def clean(self) -> bool:
        """Whether the machine was quiet enough for the figures to mean something."""
        return max(self.others, self.steal) <= DISTURBED * self.seconds


def wait_for_quiet(patience: float) -> None:
    """Return when others leave the machine alone, after `patience` seconds at the latest."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = psutil.cpu_times()
        time.sleep(GLANCE)
        after = psutil.cpu_times()
        if max(_busy(after) - _busy(before), after.steal - before.steal) <= DISTURBED * GLANCE:
            return


class Meter:
    """Reads the totals; keeps one connection to the Postgres server, on which it never runs a job's SQL.

    Without a connection the WAL is 0. `server_pids`: the servers' processes; none for foreign ones.
    """

    def __init__(self, connection: psycopg.Connection | None, *server_pids: int) -> None:
        self._connection = connection
        self._server_pids = server_pids
        self._harness = psutil.Process()

    def read(self, pids: Iterable[int]) -> Reading:
        """Totals now, `pids` being the contender's programs that run."""
        machine = psutil.cpu_times()
        own = self._harness.cpu_times()
        return Reading(
            at=time.monotonic(),
            programs=sum(_tree(pid) for pid in pids),
            server=sum(map(_tree, self._server_pids)) if self._server_pids else None,
            harness=own.user + own.system,
            busy=_busy(machine),
            steal=machine.steal,
            wal=self._wal(),
        )

    def _wal(self) -> int:
        if self._connection is None:
            return 0
        row = self._connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
        return int(row[0])


def cost(start: Reading, end: Reading) -> Cost:
    """What happened between two readings."""
    programs = end.programs - start.programs
    server = None if start.server is None or end.server is None else end.server - start.server
    ours = programs + (server or 0.0) + end.harness - start.harness
    return Cost(
        seconds=end.at - start.at,
        programs=programs,
        server=server,
        others=max(0.0, end.busy - start.busy - ours),
        steal=end.steal - start.steal,
        wal=end.wal - start.wal,
    )


def _busy(machine: Any) -> float:  # noqa: ANN401 (psutil has no public name for it)
    """CPU seconds that this machine's cores worked."""
    return float(machine.user + machine.nice + machine.system + machine.irq + machine.softirq)


def _tree(pid: int) -> float:
    """CPU seconds of a process and its descendants, ended ones included."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(map(_own_and_ended, family))


def _own_and_ended(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system
