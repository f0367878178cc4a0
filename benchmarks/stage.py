"""One contender at one setting on a database of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.environments import Launcher
from benchmarks.meter import Meter
from benchmarks.model import Contender, ContenderFailed, Setting
from benchmarks.peers.spec import Job, Mode, Spec
from benchmarks.program import Program
from benchmarks.server import Server

DATABASE = "workerpool_bench"
POLL = 0.002
"""Seconds between two looks for unfinished jobs, once the last handler has been called."""


class Stage:
    """A fresh database with the contender's tables, the programs that use it and the meter beside them."""

    def __init__(self, server: Server, contender: Contender, launcher: Launcher, setting: Setting, room: Path) -> None:
        self._server = server
        self._contender = contender
        self._launcher = launcher
        self._setting = setting
        self._room = room

    @contextmanager
    def open(self, admin: psycopg.Connection, core: int) -> Iterator[OpenStage]:
        """Create the database and the contender's tables; drop the database afterwards."""
        name = Identifier(DATABASE)
        admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        admin.execute(SQL("CREATE DATABASE {}").format(name))
        url = self._server.database(DATABASE)
        # The look for unfinished jobs goes through an index: a table that was just emptied is still long.
        connection = psycopg.connect(url, autocommit=True, options="-c enable_seqscan=off")
        try:
            stage = OpenStage(self, connection, admin, Meter(admin, *filter(None, [self._server.pid])), core)
            with stage.program("setup") as program:
                program.finish()
            yield stage
        finally:
            connection.close()
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def start(self, core: int | None, **wanted: Any) -> Program:  # noqa: ANN401 (fields of Spec)
        """A program of this contender."""
        spec = Spec(url=self._server.database(DATABASE), answers="", options=self._setting.options, **wanted)
        return Program(self._launcher, spec, self._room, core)

    @property
    def unfinished(self) -> str:
        """SQL that is true while a job is not finished."""
        return self._contender.unfinished


class OpenStage:
    """What the measures do on a stage."""

    def __init__(
        self, stage: Stage, connection: psycopg.Connection, admin: psycopg.Connection, meter: Meter, core: int
    ) -> None:
        self._stage = stage
        self._connection = connection
        self._admin = admin
        self._core = core
        self._own_commits = 0
        self.meter = meter

    def program(self, role: str) -> Program:
        """The program in a role that needs nothing else."""
        return self._stage.start(None, role=role)

    def enqueuer(self, mode: Mode, jobs: int, gaps: tuple[float, ...] = ()) -> Program:
        """A producer, free to run on any core."""
        return self._stage.start(None, role="enqueue", mode=mode, jobs=jobs, gaps=gaps)

    def worker(self, job: Job, jobs: int) -> Program:
        """A worker, pinned to its core."""
        return self._stage.start(self._core, role="work", job=job, jobs=jobs)

    def vacuum(self) -> None:
        """Leave the tables as autovacuum would have, so that its moment is not a matter of luck."""
        self._connection.execute("VACUUM ANALYZE")

    def checkpoint(self) -> None:
        """Write everything out now."""
        self._connection.execute("CHECKPOINT")

    def unfinished(self) -> bool:
        """Whether a job is not finished."""
        self._own_commits += 1
        return bool(_value(self._connection, self._stage.unfinished))

    def wait_until_finished(self, patience: float = 60.0) -> None:
        """Return as soon as every job is finished; raises ContenderFailed after `patience` seconds."""
        deadline = time.monotonic() + patience
        while self.unfinished():
            if time.monotonic() > deadline:
                raise ContenderFailed(f"jobs left unfinished {patience:.0f} s after the last handler call")
            time.sleep(POLL)

    def commits(self) -> int:
        """Transactions of this database so far, our own look-ups left out; waits until all programs have disconnected.

        A backend publishes its count now and then and when it ends, so a figure taken earlier would be too low.
        """
        others = (
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}' AND backend_type = 'client backend'"
        )
        while _value(self._admin, others) > 1:
            time.sleep(POLL)
        self._connection.execute("SELECT pg_stat_force_next_flush()")
        self._own_commits += 1
        total = _value(self._admin, f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{DATABASE}'")
        return total - self._own_commits


def _value(connection: psycopg.Connection, sql: str) -> int:
    """The one value of a query."""
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])
