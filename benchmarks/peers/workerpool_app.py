"""The application that the benchmark's runner loads: one worker, one handler."""

from __future__ import annotations

import atexit
import os
from typing import Any

from benchmarks.peers.spec import load
from benchmarks.peers.tally import Tally
from workerpool import worker

_tally = Tally(load(os.environ["BENCH_SPEC"]))
_handle = _tally.handler()
atexit.register(_tally.summary)


@worker(topic="bench", concurrency=10)
async def bench(job: dict[str, Any]) -> None:
    """One job."""
    await _handle(job["number"])
