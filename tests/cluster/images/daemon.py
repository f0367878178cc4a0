"""A Docker daemon for the time of a test: the machine's own where one is of use, else a private one.

The private daemon keeps its data in the cache folder, touches neither bridges nor packet filters (its containers use
the network they find), and ends with its user, however that one ends.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tests.cluster.images.docker import Docker, DockerError, find_client
from tests.cluster.images.places import cache, say
from tests.support.patience import until

START_SECONDS = 60.0
STOP_SECONDS = 60.0
GUARD = '"$@" & pid=$!; cat >/dev/null; kill "$pid"; wait "$pid"'
"""Runs a daemon until the guard's input ends, which it does also when whoever wrote to it was killed."""


@contextmanager
def docker_daemon() -> Iterator[Docker]:
    """A client whose daemon answers. One private daemon at a time: others wait. Raises DockerError when none starts."""
    client = find_client()
    if _in_the_machines_network() and client.answers():
        yield client
        return
    home = cache("docker")
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _private(client, home) as docker:
            yield docker


def _in_the_machines_network() -> bool:
    """False inside a network namespace, whose loopback the containers of the machine's daemon could not reach."""
    try:
        return Path("/proc/self/ns/net").readlink() == Path("/proc/1/ns/net").readlink()
    except PermissionError:
        return True


@contextmanager
def _private(client: Docker, home: Path) -> Iterator[Docker]:
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None or os.geteuid() != 0:
        raise DockerError(
            "no Docker daemon answers, and to start one takes root and dockerd (apt-get install docker.io)"
        )
    say("starting a private Docker daemon")
    docker = Docker(client.program, f"unix://{home / 'socket'}")
    # The lock is ours: whoever wrote these is gone.
    (home / "pid").unlink(missing_ok=True)
    log = home / "dockerd.log"
    with log.open("wb") as output:
        # In a mount namespace: what the daemon mounts goes with it.
        guard = _start(["unshare", "--mount", program, *_flags(home)], output)
    try:
        until(docker.answers, START_SECONDS, lambda: f"dockerd answers; {log}:\n{log.read_text()[-3000:]}")
        yield docker
    finally:
        guard.communicate(timeout=STOP_SECONDS)


def _flags(home: Path) -> list[str]:
    return [
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        f"--data-root={home / 'data'}",
        f"--exec-root={home / 'run'}",
        f"--pidfile={home / 'pid'}",
        f"--host=unix://{home / 'socket'}",
    ]


def _start(command: list[str], output: BinaryIO) -> "subprocess.Popen[bytes]":
    """The guard of ``command``, in a session of its own: Ctrl-C is for the tests, which then end it in order."""
    return subprocess.Popen(
        ["sh", "-c", GUARD, "guard", *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
