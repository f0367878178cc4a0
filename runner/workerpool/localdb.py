"""The database that one machine uses when nobody names one: embedded Postgres, shared by whoever needs it.

Several processes may start it at the same time; a file lock lets one of them do the work. Each is written down as a
holder, and the last holder that stops takes the server with it. A holder that was killed is noticed by its process
being gone, so that nothing keeps running for the dead.
"""

import asyncio
import atexit
import fcntl
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psutil

from workerpool.cluster import Cluster, LocalDatabaseError, open_cluster

__all__ = ["LocalDatabaseError", "LocalPostgres"]

CLOCK_SLACK: Final = 5.0

Holders = dict[str, tuple[int, float]]
"""Name of a holder to its process: id, and start time in seconds since the epoch."""

Migrate = Callable[[str], Coroutine[Any, Any, object]]


class LocalPostgres:
    """Embedded Postgres under a state directory: the contract's LocalDatabase. One object is one hold on it."""

    def __init__(self, migrate: Migrate | None = None) -> None:
        """``migrate``: brings the schema up to date at a URL; None for this release's own migrations."""
        self._migrate = migrate
        self._name = uuid4().hex
        self._cluster: Cluster | None = None

    def start(self, state_dir: Path) -> str:
        """Starts or joins the server, applies the migrations and returns the URL; blocks (a second at the first start).

        Raises LocalDatabaseError (a RuntimeError) with the cause and the cure.
        """
        cluster = open_cluster(state_dir)
        with _locked(cluster.root):
            cluster.initialise()
            cluster.start()
            _write_holders(cluster.root, {**_living_holders(cluster.root), self._name: _own_identity()})
        self._cluster = cluster
        atexit.register(self.stop)
        try:
            _run_apart((self._migrate or _own_migrations())(cluster.url))
        except BaseException:
            self.stop()
            raise
        return cluster.url

    def stop(self) -> None:
        """Lets go of the server and stops it when nobody else holds it; harmless when called twice."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return
        atexit.unregister(self.stop)
        with _locked(cluster.root):
            holders = _living_holders(cluster.root)
            holders.pop(self._name, None)
            _write_holders(cluster.root, holders)
            if not holders:
                cluster.stop()


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _living_holders(root: Path) -> Holders:
    """The holders written down, without those whose process is gone."""
    try:
        found: Holders = json.loads((root / "holders.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: identity for name, identity in found.items() if _is_alive(*identity)}


def _write_holders(root: Path, holders: Holders) -> None:
    (root / "holders.json").write_text(json.dumps(holders))


def _own_identity() -> tuple[int, float]:
    return os.getpid(), psutil.Process().create_time()


def _is_alive(pid: int, started: float) -> bool:
    try:
        # The start time is derived from the machine's clock, which may have been set since.
        return abs(psutil.Process(pid).create_time() - started) < CLOCK_SLACK
    except psutil.Error:
        return False


def _own_migrations() -> Migrate:
    from workerpool.sources.postgres.migrate import migrate

    return migrate


def _run_apart(work: Coroutine[Any, Any, object]) -> None:
    """Runs ``work`` in a loop of its own, also when the caller's thread has one running."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
