"""Several runner processes behind one: started, restarted with back-off, drained together, probed as one.

The parent runs no jobs and opens no connection to the queue, so little can go wrong in it. A child that ends although
nobody asked it to is started again, sooner after a long life than after a short one. A child that says that its
configuration is wrong ends the whole runner: starting it again would say the same.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from workerpool.aggregate import ChildAddress, ChildrenProbes
from workerpool.children import Child, Command, first_of, how, stop_signals
from workerpool.probe_server import ProbeServer
from workerpool_contract.names import ENV_PROBE_HOST, ENV_PROBE_PORT, ENV_PROCESSES

logger = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A child that lived this long had no problem with starting."""

CONFIG_EXIT: Final = 2
"""Exit code of a runner whose configuration can't be used."""


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """``command``: what each child runs. ``grace``: seconds that a drain may take before a child is killed."""

    command: Command
    processes: int
    grace: float
    probe_host: str
    probe_port: int
    fatal_exits: frozenset[int] = frozenset({CONFIG_EXIT})


def restart_delay(crashes: int) -> float:
    """Seconds before a child is started again after ``crashes`` short lives in a row: 0.5, 1, 2 … 30."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(max(crashes - 1, 0), 30))


def child_command(command: Command) -> Command:
    """``command`` for one child: a single process, probes on a loopback port of the system's choice."""
    own = {ENV_PROCESSES: "1", ENV_PROBE_HOST: "127.0.0.1", ENV_PROBE_PORT: "0"}
    return replace(command, environment={**command.environment, **own})


class Supervisor:
    """Keeps ``settings.processes`` children running until it is told to stop."""

    def __init__(
        self, settings: SupervisorSettings, *, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        """``clock``: monotonic seconds. ``now``: wall clock of the probes."""
        self._settings = settings
        self._command = child_command(settings.command)
        self._clock = clock
        self._children: list[Child | None] = [None] * settings.processes
        self._stopping = asyncio.Event()
        self._killing = asyncio.Event()
        self._exit = 0
        probes = ChildrenProbes(self._addresses, os.getpid(), now)
        self._server = ProbeServer(probes, settings.probe_host, settings.probe_port)

    @property
    def probe_port(self) -> int:
        """The port that the parent's probes answer on."""
        return self._server.port

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that run now."""
        return [child.pid for child in self._children if child is not None]

    def stop(self) -> None:
        """Asks for a drain; asked again, kills."""
        if self._stopping.is_set():
            self._killing.set()
        self._stopping.set()

    async def run(self) -> int:
        """Runs until `stop`, SIGTERM or SIGINT; returns the exit code. Raises ConfigError when probes can't listen."""
        port = self._server.start()
        logger.info("%d processes; probes on port %d", self._settings.processes, port)
        try:
            with stop_signals(self.stop):
                async with asyncio.TaskGroup() as group:
                    for number in range(self._settings.processes):
                        group.create_task(self._keep(number))
            return self._exit
        finally:
            self._server.close()

    async def _keep(self, number: int) -> None:
        """Keeps one slot filled."""
        crashes = 0
        while not self._stopping.is_set():
            started = self._clock()
            code = await self._live(number)
            if self._stopping.is_set():
                return
            if code in self._settings.fatal_exits:
                logger.error("process %d refused its configuration; stopping the others", number)
                self._exit = code
                self.stop()
                return
            crashes = 1 if self._clock() - started >= STEADY_SECONDS else crashes + 1
            delay = restart_delay(crashes)
            logger.warning("process %d ended by itself (%s); starting it again in %g s", number, how(code), delay)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def _live(self, number: int) -> int:
        """One life of the child in slot ``number``; returns its exit code."""
        child = await Child.spawn(self._command)
        self._children[number] = child
        logger.info("process %d started (pid %d)", number, child.pid)
        try:
            code = await first_of(child.wait(), self._stopping.wait())
            if code is None:
                code = await self._drain(child, number)
            return code
        finally:
            self._children[number] = None
            child.close()

    async def _drain(self, child: Child, number: int) -> int:
        code = await first_of(child.stop(self._settings.grace), self._killing.wait())
        if code is None:
            code = await child.stop(0)
        # A child that had not come as far as handling the signal held nothing either.
        if code not in (0, -signal.SIGTERM):
            logger.warning("process %d did not drain (%s)", number, how(code))
            self._exit = self._exit or 1
        return code

    def _addresses(self) -> list[ChildAddress]:
        return [
            ChildAddress(number, child.pid if child else None, child.probe_port if child else None)
            for number, child in enumerate(self._children)
        ]
