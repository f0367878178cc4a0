"""A small supervised process: real probes and a real line to the parent around a made-up runner.

Arguments: a folder for what it has to tell (one file per process id, its lines are events), and a mode: ``ok``,
``stubborn`` (never drains), ``config`` (exit code 2 at once), ``crash`` (dies at once, the second life is ok).
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGTERM, sigwait
from time import monotonic

from workerpool.children import ParentLine
from workerpool.metrics import Metrics, Status
from workerpool.probe_server import ProbeServer
from workerpool.probes import Pulse, RunnerProbes, RunnerStatus


def status() -> RunnerStatus:
    return RunnerStatus(
        is_running=True, queues=("q",), concurrency=3, busy=1, buffered=2, draining=False, connected=True,
        consuming=True, has_capacity=False, pid=os.getpid(), boot=f"b-{os.getpid()}",
    )  # fmt: skip


def main(folder: Path, mode: str) -> int:
    diary = folder / f"{os.getpid()}.txt"
    diary.write_text(f"processes={os.environ['WORKERPOOL_PROCESSES']} port={os.environ['WORKERPOOL_PROBE_PORT']}\n")
    if mode == "config":
        return 2
    if mode == "crash" and len(list(folder.iterdir())) == 1:
        return 3
    metrics = Metrics()
    metrics.add_worker("w", "q")
    metrics.observe("w", Status.COMPLETED, 0.5)
    server = ProbeServer(
        RunnerProbes(status=status, pulse=Pulse(monotonic), metrics=metrics, now=lambda: datetime.now(UTC)),
        "127.0.0.1",
        0,
    )
    port = server.start()
    line = ParentLine.from_environment(os.environ)
    if line is not None:
        line.watch(grace=60)
        line.report(port)
    while True:
        sigwait({SIGTERM})
        with diary.open("a") as file:
            file.write("SIGTERM\n")
        if mode != "stubborn":
            return 0


if __name__ == "__main__":
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGTERM})
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
