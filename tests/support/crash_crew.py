"""Runners of the crash app, and what their handlers did: what the crash tests of every engine play on."""

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.runner_process import RunnerProcess, start_runner
from tests.support.witness import ENV_GATES, ENV_WITNESS, Witness


@dataclass
class Crew:
    """``folder`` keeps gates, logs and what the witness writes."""

    folder: Path
    runners: list[RunnerProcess] = field(init=False, default_factory=list)

    @property
    def witness(self) -> Witness:
        """What the handlers did."""
        return Witness(self.folder / "witness")

    def run(self, url: str, workers: Sequence[str], **environ: str) -> RunnerProcess:
        """Starts a runner of these workers on the queues of ``url``, without waiting for it."""
        settings = {ENV_WITNESS: str(self.folder / "witness"), ENV_GATES: str(self.folder)}
        runner = start_runner(url, "tests.support.crash_app", workers, self.folder, settings | environ)
        self.runners.append(runner)
        return runner

    def open(self, gate: str = "gate") -> None:
        """Lets the handlers go on that wait for this gate."""
        (self.folder / gate).touch()

    def close(self) -> None:
        """Kills what still runs, child processes of handlers included."""
        for runner in self.runners:
            if runner.alive:
                runner.send(signal.SIGCONT)
                children = psutil.Process(runner.pid).children(recursive=True)
                runner.kill()
                for child in children:
                    # It may end by itself: it watches its runner.
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
