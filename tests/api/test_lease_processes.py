"""Leader election between processes: one that is killed is followed, one that was frozen writes nothing any more."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.patience import until

pytestmark = pytest.mark.kubernetes

DURATION, TRUST, RETRY = 20.0, 12.0, 0.5
"""No leader loses its Lease because the machine is slow for a moment."""
SECONDS = 90.0
"""Patience: a lease that runs out, and a slow machine on top."""
CANDIDATE = Path(__file__).with_name("candidate.py")


class Process:
    """One candidate."""

    def __init__(self, server: ApiServer, namespace: str, identity: str, folder: Path) -> None:
        self.identity = identity
        self._server, self._namespace = server, namespace
        self._log = folder / f"{identity}.log"
        arguments = [str(server.kubeconfig), namespace, identity, str(DURATION), str(TRUST), str(RETRY)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, CANDIDATE, *arguments], stdout=log, stderr=log)

    def said(self) -> list[str]:
        """Its lines."""
        return self._log.read_text().splitlines()

    def writes(self) -> list[int]:
        """The versions at which it wrote, oldest first."""
        found = self._server.json("get", "secrets", f"--namespace={self._namespace}", f"-lwriter={self.identity}")
        return sorted(int(item["metadata"]["resourceVersion"]) for item in found["items"])

    def end(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def candidate(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    with ExitStack() as stack:

        def start(identity: str) -> Process:
            process = Process(api_server, namespace, identity, tmp_path)
            stack.callback(process.end)
            return process

        yield start


def _two(candidate: Callable[[str], Process]) -> tuple[Process, Process]:
    first = candidate("first")
    until(lambda: "leads" in first.said() and first.writes(), SECONDS, first.said)
    return first, candidate("second")


def test_a_killed_leader_is_followed(candidate: Callable[[str], Process]) -> None:
    first, second = _two(candidate)
    begun = time.monotonic()
    first.end()
    until(lambda: "leads" in second.said(), SECONDS, second.said)
    assert time.monotonic() - begun >= DURATION - TRUST, "it led before the lease had run out"
    until(second.writes, SECONDS, "the second writes")
    assert first.writes()[-1] < second.writes()[0]


def test_a_frozen_leader_writes_nothing_after_its_successor(candidate: Callable[[str], Process]) -> None:
    first, second = _two(candidate)
    first.process.send_signal(signal.SIGSTOP)
    until(lambda: "leads" in second.said() and second.writes(), SECONDS, second.said)
    first.process.send_signal(signal.SIGCONT)

    until(lambda: "stopped" in first.said(), SECONDS, first.said)
    assert first.process.poll() is None
    # It writes one at a time. One that was past the guard when it froze may be sent when it wakes; a second is never.
    succeeded = second.writes()[0]
    assert sum(version > succeeded for version in first.writes()) <= 1
    assert first.said().count("leads") == 1, "it took the Lease back"
