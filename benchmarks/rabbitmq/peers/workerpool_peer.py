"""WorkerPool: its producer, and the runner as the operator starts it."""

from __future__ import annotations

import os
import sys

import uvloop

from benchmarks.peers.spec import Spec, load
from benchmarks.rabbitmq.sessions import QUEUE, first_message
from workerpool.producer import get_producer
from workerpool_contract import names
from workerpool_contract.archive import ArchiveSettings, archive_to_environment

APP = "benchmarks.rabbitmq.peers.workerpool_app"


def main() -> None:
    """Do what the spec file named on the command line asks; options: concurrency, if any."""
    path = sys.argv[1]
    spec = load(path)
    if spec.role == "setup":
        uvloop.run(_send(spec))
    else:
        _become_runner(spec, path)


async def _send(spec: Spec) -> None:
    """Send the first message; that declares the queue."""
    async with get_producer(spec.url) as producer:
        await producer.send(QUEUE, first_message(spec.job))


def _become_runner(spec: Spec, path: str) -> None:
    """Turn this process into `workerpool run`, so that nothing of the benchmark but the handler is in it."""
    settings = {
        names.ENV_URL: spec.url,
        names.ENV_PROBE_HOST: "127.0.0.1",
        names.ENV_PROBE_PORT: "0",
        names.ENV_LOG_LEVEL: "warning",
    }
    if spec.job == "archive":
        what = ["s3-archive"]
        settings |= _archive(spec)
    else:
        what = ["--all"]
        settings |= {names.ENV_APP: APP, "BENCH_SPEC": path}
    command = [sys.executable, "-m", "workerpool", "run", *what]
    os.execve(command[0], command, os.environ | settings)  # noqa: S606 - the command is ours, no shell is involved


def _archive(spec: Spec) -> dict[str, str]:
    """The variables of the archive worker."""
    limits = {names.ENV_CONCURRENCY: str(spec.options["concurrency"])} if "concurrency" in spec.options else {}
    return {names.ENV_QUEUE: QUEUE} | limits | archive_to_environment(ArchiveSettings(**spec.options["s3"]))


if __name__ == "__main__":
    main()
