"""Control over the parts of a cluster, for tests that take one away: only the local provider has it."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

COMPONENTS: Final = (
    "etcd",
    "kube-apiserver",
    "containerd",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
END_SECONDS: Final = 30.0


class OrderRefused(Exception):
    """The keeper did not carry out an order; the message says why."""


class Components:
    """Orders to the keeper that listens on ``socket``; names are those of ``COMPONENTS``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, name: str) -> None:
        """Starts a component that does not run; returns at once. Raises OrderRefused."""
        self._order(do="start", name=name)

    def pause(self, name: str) -> None:
        """SIGSTOP: the process stays, with its connections, and answers nothing."""
        self._send(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._send(name, signal.SIGCONT)

    def kill(self, name: str) -> None:
        """SIGKILL; returns when the process is gone."""
        self._send(name, signal.SIGKILL)
        self._wait(name)

    def stop(self, name: str) -> None:
        """SIGTERM; returns when the process is gone. Raises OrderRefused after 30 s."""
        self._send(name, signal.SIGTERM)
        self._wait(name)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """The component stands still during the block."""
        self.pause(name)
        try:
            yield
        finally:
            self.resume(name)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """The component is gone during the block, killed, and started at its end."""
        self.kill(name)
        try:
            yield
        finally:
            self.start(name)

    def running(self) -> dict[str, int]:
        """Process ids, in the cluster's own PID namespace, of the components that run."""
        return dict(self._order(do="status")["running"])

    def ended(self) -> dict[str, int]:
        """Exit codes of the components that ended, negative for a signal."""
        return dict(self._order(do="status")["ended"])

    def restore(self) -> None:
        """Everything runs again, whatever a test did."""
        running = self.running()
        for name in COMPONENTS:
            if name in running:
                self.resume(name)
            else:
                self.start(name)

    def _send(self, name: str, number: signal.Signals) -> None:
        self._order(do="send", name=name, signal=int(number))

    def _wait(self, name: str) -> None:
        self._order(do="wait", name=name, seconds=END_SECONDS)

    def _order(self, **order: object) -> Any:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as stream:
            connection.connect(str(self._path))
            stream.write(json.dumps(order).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline() or b'{"error": "the keeper is gone"}')
        if "error" in answer:
            raise OrderRefused(f"{order}: {answer['error']}")
        return answer["answer"]
