"""Real runner processes under the control of a test: started, probed, signalled, and ended by their own id."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.support.patience import until
from tests.support.ports import free_port
from workerpool_contract.names import ENV_APP, ENV_LOG_FORMAT, ENV_PROBE_HOST, ENV_PROBE_PORT, ENV_URL

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0
ANSWER_SECONDS = 45.0
"""How long a runner may take to answer a probe; reached only when something is broken."""


@dataclass
class RunnerProcess:
    """One ``workerpool run``; its log is a file of JSON lines."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def boot(self) -> str:
        """The runner's own name of this life, as in the engine's tables."""
        body = until(lambda: self.probe("/health")[1], ANSWER_SECONDS, "the runner says who it is")
        return str(body["worker"]["boot"])

    def busy(self) -> int | None:
        """How many jobs it runs; None when nobody answers."""
        body = self.probe("/health")[1]
        return None if body is None else int(body["worker"]["busy"])

    def probe(self, path: str) -> tuple[int, Any]:
        """Status and JSON of an endpoint; (0, None) when nobody answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException):
            return 0, None
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The value of one metric without labels; NaN, which equals nothing, when nobody answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return math.nan
        finally:
            connection.close()
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def is_ready(self) -> bool:
        """Whether it consumes; AssertionError with the log when the process has ended."""
        assert self.alive, f"the runner ended with {self.process.returncode}: {self.log.read_text()[-3000:]}"
        return self.probe("/ready")[0] == 200

    def ready(self, seconds: float = START_SECONDS) -> "RunnerProcess":
        """Waits until it consumes."""
        until(self.is_ready, seconds, lambda: f"the runner is ready: {self.log.read_text()[-3000:]}")
        return self

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill -9, and waits until the process is gone; a stopped one too."""
        self.process.kill()
        self.process.wait(45)

    def wait(self, seconds: float) -> int:
        """Its exit code; AssertionError when it takes longer."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s: {self.log.read_text()[-3000:]}") from None

    def messages(self) -> list[str]:
        """Everything it logged, without the fields."""
        lines = self.log.read_text().splitlines()
        return [str(json.loads(line)["message"]) if line.startswith("{") else line for line in lines]


def start_runner(
    url: str, app: str, workers: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
) -> RunnerProcess:
    """Starts a runner of these workers (all when none is named) with its log in ``folder``."""
    port = free_port()
    log = folder / f"runner-{time.monotonic_ns()}.log"
    settings = {
        ENV_URL: url,
        ENV_APP: app,
        ENV_PROBE_HOST: "127.0.0.1",
        ENV_PROBE_PORT: str(port),
        ENV_LOG_FORMAT: "json",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "workerpool", "run", *(workers or ["--all"])],
            cwd=ROOT,
            env={**os.environ, **settings, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return RunnerProcess(process, port, log)
