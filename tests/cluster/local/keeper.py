"""The keeper of a local cluster: the first process of its PID, network and mount namespaces.

Every process of the cluster, containers included, descends from the keeper. When it ends, however that comes about, the
kernel ends them all, and with the last one the mounts and the network are gone too. It is started by the guard through
``unshare`` and takes orders on a socket: one JSON object per line, answered by one.
"""

import json
import os
import signal
import socketserver
import sys
import threading
from pathlib import Path
from typing import Any

from tests.cluster.local.commands import component_command
from tests.cluster.local.configuration import write_configuration
from tests.cluster.local.layout import Layout
from tests.cluster.local.machine import prepare_machine


class Keeper:
    """Starts, signals and collects the components."""

    def __init__(self, layout: Layout, programs: Path) -> None:
        self._layout = layout
        self._programs = programs
        self._running: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._changed = threading.Condition()

    def start(self, name: str) -> int:
        """Starts a component; its process id in here. Raises ValueError when it runs already."""
        with self._changed:
            if name in self._running:
                raise ValueError(f"{name} runs already")
            pid = self._spawn(name, component_command(name, self._layout, self._programs))
            self._ended.pop(name, None)
            self._running[name] = pid
            return pid

    def send(self, name: str, number: int) -> None:
        """Sends a signal. Raises ValueError when the component does not run."""
        with self._changed:
            if name not in self._running:
                raise ValueError(f"{name} does not run")
            os.kill(self._running[name], number)

    def wait(self, name: str, seconds: float) -> int:
        """The exit code (negative: the signal) once the component has ended. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: name not in self._running, seconds):
                raise TimeoutError(f"{name} still runs after {seconds:g} s")
            return self._ended.get(name, 0)

    def status(self) -> dict[str, dict[str, int]]:
        """Process ids of what runs, exit codes of what has ended."""
        with self._changed:
            return {"running": dict(self._running), "ended": dict(self._ended)}

    def collect(self) -> None:
        """Takes leave of everything that has ended: components, and whatever was left to the first process."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            with self._changed:
                for name in [name for name, running in self._running.items() if running == pid]:
                    del self._running[name]
                    self._ended[name] = os.waitstatus_to_exitcode(status)
                self._changed.notify_all()

    def _spawn(self, name: str, command: list[str]) -> int:
        """Not by ``subprocess``: it would wait for its children itself and steal them from ``collect``."""
        log = os.open(self._layout.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            return os.posix_spawnp(
                command[0],
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 0), *((os.POSIX_SPAWN_DUP2, log, to) for to in (1, 2))],
                setsid=True,
                setsigmask=[],
            )
        finally:
            os.close(log)
            os.close(nothing)


class _Order(socketserver.StreamRequestHandler):
    server: "_Control"

    def handle(self) -> None:
        for line in self.rfile:
            order = json.loads(line)
            try:
                answer = {"answer": self.server.carry_out(order)}
            except (KeyError, OSError, ValueError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Control(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, keeper: Keeper) -> None:
        super().__init__(str(path), _Order)
        self._keeper = keeper

    def carry_out(self, order: dict[str, Any]) -> Any:
        """The result of one order, made of what JSON holds."""
        match order:
            case {"do": "start", "name": name}:
                return self._keeper.start(name)
            case {"do": "send", "name": name, "signal": number}:
                return self._keeper.send(name, number)
            case {"do": "wait", "name": name, "seconds": seconds}:
                return self._keeper.wait(name, seconds)
            case {"do": "status"}:
                return self._keeper.status()
            case _:
                raise ValueError(f"unknown order {order}")


def main() -> None:
    """``keeper FOLDER PROGRAMS``: prepares the machine, opens the socket, and stays."""
    layout, programs = Layout(Path(sys.argv[1])), Path(sys.argv[2])
    # Blocked before the first thread, or one of the threads would get them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    prepare_machine(layout)
    write_configuration(layout)
    keeper = Keeper(layout, programs)
    control = _Control(layout.control, keeper)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    while True:
        signal.sigwait({signal.SIGCHLD})
        keeper.collect()


if __name__ == "__main__":
    main()
