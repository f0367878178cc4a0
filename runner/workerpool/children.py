"""One child process of a supervising parent, and the line between them.

Parent and child share a socket pair. The child writes one line on it, the port of its probes; and it reads from it,
which returns only when the parent is gone, however it died: then the child drains and leaves. Children run in a
session of their own, so that Ctrl-C in a terminal reaches the parent alone and a drain is asked for once.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

ENV_SUPERVISOR: Final = "WORKERPOOL_SUPERVISOR_FD"
"""Set for children only: the file descriptor of their end of the line."""

ORPHAN_EXIT: Final = 70
"""Exit code of a child that could not drain in time after its parent died."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: argument vector and the whole environment."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


class Child:
    """A running child. Made by `spawn`; lives in the loop that spawned it."""

    def __init__(self, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._asked_to_stop = False
        self.probe_port: int | None = None
        self._reader = asyncio.create_task(self._read_report())

    @classmethod
    async def spawn(cls, command: Command) -> "Child":
        """Starts ``command``. Raises OSError when the program can't be run."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command.argv,
                    env={**command.environment, ENV_SUPERVISOR: str(theirs.fileno())},
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                raise
        ours.settimeout(0)
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit code; negative when a signal ended it."""
        return await self._process.wait()

    def close(self) -> None:
        """Gives up the line to the child; a child that still runs takes that for the death of its parent."""
        self._reader.cancel()
        self._line.close()

    def signal(self, number: int) -> None:
        """Sends a signal; nothing happens when the child is gone."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def stop(self, grace: float) -> int:
        """Asks it to drain, waits ``grace`` seconds, then kills it; returns the exit code."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self.wait())), grace)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()

    async def _read_report(self) -> None:
        """Learns the port of the child's probes from its one line."""
        loop, received = asyncio.get_running_loop(), b""
        with suppress(OSError, ValueError):
            while not received.endswith(b"\n"):
                piece = await loop.sock_recv(self._line, 1024)
                if not piece:
                    return
                received += piece
            self.probe_port = int(json.loads(received)["probePort"])


class ParentLine:
    """The child's end of the line. `from_environment` gives None in a process that nobody supervises."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the function takes no keywords

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ParentLine | None":
        """The line that the parent left in ``environ``, if any."""
        text = environ.get(ENV_SUPERVISOR, "")
        return cls(int(text)) if text.isdigit() else None

    def report(self, probe_port: int) -> None:
        """Tells the parent where this process answers probes."""
        with suppress(OSError):
            self._socket.sendall(json.dumps({"probePort": probe_port}).encode() + b"\n")

    def watch(self, grace: float, leave: Callable[[], None] | None = None) -> None:
        """From a thread of its own: when the parent dies, drains by SIGTERM; after ``grace`` seconds ends hard.

        ``leave`` replaces the hard end in tests.
        """
        Thread(target=self._watch, args=(grace, leave), name="workerpool-parent", daemon=True).start()

    def _watch(self, grace: float, leave: Callable[[], None] | None) -> None:
        with suppress(OSError):
            while self._socket.recv(64):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        Event().wait(grace)
        (leave or (lambda: os._exit(ORPHAN_EXIT)))()


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls ``stop`` in the running loop at each SIGTERM and SIGINT; main thread only."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def first_of(work: Coroutine[Any, Any, int], cut: Coroutine[Any, Any, object]) -> int | None:
    """The result of ``work``, or None when ``cut`` came first; both have ended when it returns."""
    working, cutting = asyncio.ensure_future(work), asyncio.ensure_future(cut)
    try:
        await asyncio.wait((working, cutting), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, cutting):
            task.cancel()
        await asyncio.gather(working, cutting, return_exceptions=True)


def how(code: int) -> str:
    """An exit code in words: ``exit code 3``, ``SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
