"""Starts a contender's program and listens to what it says."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.environments import Launcher
from benchmarks.model import ContenderFailed
from benchmarks.peers.spec import Spec

PATIENCE = 120.0
"""Seconds after which a program that says nothing more has hung."""


class Program:
    """One running program of a contender; a context manager that never leaves a process behind.

    The program is told what to do by a JSON file and answers on a named pipe, which also works when a contender
    spawns processes of its own or writes logs to its standard output.
    """

    def __init__(self, launcher: Launcher, spec: Spec, room: Path, core: int | None = None) -> None:
        self._heard: list[dict[str, Any]] = []
        self._rest = b""
        room = Path(tempfile.mkdtemp(dir=room))
        pipe = room / "answers"
        os.mkfifo(pipe)
        # Reading and writing, so that opening never blocks and the pipe outlives any single writer.
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        paper = room / "spec.json"
        paper.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(spec, answers=str(pipe)))), encoding="utf-8")
        pin = [] if core is None else ["taskset", "-c", str(core)]
        self._log = room / "program.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*pin, *launcher.command, str(paper)],
                env=_environment(launcher.variables),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Process id (taskset replaces itself by the program)."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        os.close(self._pipe)

    def hear(self, event: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The next answer `event`; raises ContenderFailed when the program ends or stays silent instead."""
        deadline = time.monotonic() + patience
        while True:
            for answer in self._heard:
                if answer["event"] == event:
                    self._heard.remove(answer)
                    return answer
            ended = self._process.poll() is not None
            if not self._listen(0.05) and ended:
                raise ContenderFailed(f"ended with {self._process.returncode} before {event!r}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise ContenderFailed(f"no {event!r} within {patience:.0f} s: {self._last_words()}")

    def go(self) -> None:
        """Let a producer start that has said `ready`: our own first reading must not overlap with its work."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def finish(self) -> None:
        """Wait for a program that ends by itself; raises ContenderFailed when it does not, or not well."""
        try:
            code = self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise ContenderFailed(f"did not end within {PATIENCE:.0f} s: {self._last_words()}") from error
        if code != 0:
            raise ContenderFailed(f"ended with {code}: {self._last_words()}")

    def stop(self) -> dict[str, Any]:
        """Ask the program to stop as its supervisor would, and return its summary."""
        self._process.send_signal(signal.SIGTERM)
        summary = self.hear("summary", patience=60)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return summary

    def check(self) -> None:
        """Raise ContenderFailed when the program has ended."""
        if (code := self._process.poll()) is not None:
            raise ContenderFailed(f"ended with {code}: {self._last_words()}")

    def end(self, patience: float) -> bool:
        """Ask the program to stop and wait for that, `patience` seconds at most; whether it did."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the program and its children at once, as a lost machine would."""
        family = [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]
        for process in family:
            process.kill()
        self._process.wait()

    def _listen(self, seconds: float) -> bool:
        """Take in what has arrived, waiting up to `seconds` for it."""
        if not select.select([self._pipe], [], [], seconds)[0]:
            return False
        *lines, self._rest = (self._rest + os.read(self._pipe, 1 << 20)).split(b"\n")
        self._heard += [json.loads(line) for line in lines]
        return True

    def _last_words(self) -> str:
        """The end of its log, in one line."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-6:])[-800:] or "(no output)"


def _environment(additions: Mapping[str, str]) -> dict[str, str]:
    """Ours without what would leak our virtual environment into another's interpreter."""
    ours = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONHOME"}}
    return ours | dict(additions)
