"""One replica on this machine: a runner process that is started again when it crashes, and drained when it is told to.

The environment carries all settings, so that no secret is on a command line. Output goes to a log file of its own,
which survives this process.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from workerpool_contract.environment import RunnerSettings, to_environment
from workerpool_operator.local import health, rules
from workerpool_operator.local.logfiles import last_line, open_log, rotate
from workerpool_operator.platform import ReplicaState, ReplicaView

LAUNCHER = Path(__file__).with_name("launch.py")
FRESH = 3.0
"""Seconds after a start in which it is no news that a runner is not ready."""
PROBE_PORTS = range(15_000, 30_000)
"""Below those that systems give to outgoing connections: a runner listens only seconds after its port was chosen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a replica is run: its name, command, settings (the probe port is chosen at each start), and patience.

    ``silence``: seconds without an answer to probes until it is killed and started again; ``startup``: the same for a
    runner that has not answered yet. ``margin``: seconds beyond the drain timeout before a draining one is killed.
    """

    name: str
    command: tuple[str, ...]
    settings: RunnerSettings
    environ: Mapping[str, str] = field(repr=False)
    log: Path
    silence: float = 30.0
    startup: float = 60.0
    margin: float = 5.0


class Replica:
    """Keeps one runner process alive until `stop` or `kill`."""

    def __init__(self, plan: Plan, steady: Callable[[], float]) -> None:
        """``steady``: seconds of a clock that never jumps. Call `start` from inside the loop."""
        self._plan = plan
        self._steady = steady
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._process: Process | None = None
        self._port = 0
        self._health: health.Health | None = None
        self._answered: float | None = None
        self._crashes = 0
        self._started = 0.0
        self._why = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the process and keeps it."""
        self._started = self._steady()
        self._task = asyncio.create_task(self._supervise(), name=f"replica {self._plan.name}")

    def stop(self) -> None:
        """Tells the runner to drain; it is killed when it takes longer than its drain timeout."""
        self._stopping.set()

    def kill(self) -> None:
        """Ends the runner without waiting for its jobs; they run again later."""
        self._stopping.set()
        self._hurry.set()

    async def ended(self) -> None:
        """Until the runner is gone for good."""
        if self._task is not None:
            await self._task

    @property
    def gone(self) -> bool:
        """Whether the runner is gone for good."""
        return self._task is not None and self._task.done()

    async def look(self) -> ReplicaView:
        """Asks how the runner is, kills it when it was silent for too long, keeps its log short, returns the view."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(OSError):
                rotate(self._plan.log)
            found = await health.fetch(self._port)
            if found is not None and found.live:
                self._answered = self._steady()
            self._health = found
            self._lose_patience()
        return self.view()

    def view(self) -> ReplicaView:
        """The replica as it was at the last look."""
        seen = self._health
        view = ReplicaView(self._plan.name, self._state(), detail=self._why)
        if self._process is None:
            return view
        view = replace(view, pid=self._process.pid)
        if seen is None:
            return view
        return replace(
            view,
            busy=seen.busy,
            slots=seen.slots,
            completed=seen.completed,
            failed=seen.failed,
            service_seconds=seen.service_seconds,
            detail=self._failing(seen) or self._why,
        )

    def _failing(self, seen: health.Health) -> str:
        return "" if not seen.ready and self._steady() - self._started < FRESH else seen.detail

    def _state(self) -> ReplicaState:
        if self._stopping.is_set():
            return ReplicaState.DRAINING
        if self._process is None:
            return ReplicaState.BACKOFF if self._crashes else ReplicaState.STARTING
        if self._health is None:
            return ReplicaState.STARTING if self._answered is None else ReplicaState.SILENT
        return ReplicaState.READY if self._health.ready else ReplicaState.STARTING

    def _lose_patience(self) -> None:
        process, now = self._process, self._steady()
        if process is None or self._stopping.is_set():
            return
        silent, patience = now - self._started, self._plan.startup
        if self._answered is not None:
            silent, patience = now - self._answered, self._plan.silence
        if silent > patience:
            self._why = f"did not answer its probes for {patience:g} s"
            _signal_group(process, signal.SIGKILL)

    async def _supervise(self) -> None:
        while not self._stopping.is_set():
            self._started = self._steady()
            try:
                self._process = await self._spawn()
            except OSError as error:
                ended = f"could not be started: {error.strerror or error}"
            else:
                self._why = ""  # not before: until there is a process again, it still backs off for this reason
                ended = await self._until_end(self._process)
            self._process, self._health, self._answered = None, None, None
            if not self._stopping.is_set():
                await self._back_off(ended)

    async def _back_off(self, ended: str) -> None:
        self._crashes = rules.crashes_in_a_row(self._crashes, self._steady() - self._started)
        delay = rules.restart_delay(self._crashes)
        self._why = f"{ended}; starts again after {delay:g} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()

    async def _spawn(self) -> Process:
        self._port = free_port()
        settings = replace(
            self._plan.settings, probe_host="127.0.0.1", probe_port=self._port, worker_id=self._plan.name
        )
        environ = {**self._plan.environ, **to_environment(settings)}
        launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()))
        with open_log(self._plan.log) as log:
            # A session of its own: Ctrl-C in the terminal reaches us alone, and we drain the runners in order.
            return await asyncio.create_subprocess_exec(
                *launcher, *self._plan.command, stdin=DEVNULL, stdout=log, stderr=STDOUT, env=environ,
                start_new_session=True,
            )  # fmt: skip

    async def _until_end(self, process: Process) -> str:
        """Waits for the process or for the order to stop; returns how it ended, in words."""
        exited = asyncio.create_task(process.wait())
        told = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({exited, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not exited.done():
            await self._drain(process, exited)
        code = await exited
        _signal_group(process, signal.SIGKILL)
        line = last_line(self._plan.log)
        return self._why or f"{_how(code)}{f': {line}' if line else ''}"

    async def _drain(self, process: Process, exited: "asyncio.Task[int]") -> None:
        process.terminate()
        hurry = asyncio.create_task(self._hurry.wait())
        patience = self._plan.settings.effective_drain_timeout + self._plan.margin
        await asyncio.wait({exited, hurry}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not exited.done():
            _signal_group(process, signal.SIGKILL)


def free_port() -> int:
    """One of `PROBE_PORTS` that nobody listens on now. Raises OSError when there is none."""
    for port in random.SystemRandom().sample(PROBE_PORTS, k=100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = f"no port from {PROBE_PORTS.start} to {PROBE_PORTS.stop - 1} is free for its probes"
    raise OSError(message)


def _signal_group(process: Process, number: signal.Signals) -> None:
    """Signals the runner and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
