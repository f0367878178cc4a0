"""The application that the benchmark's runner loads: one worker, one handler."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from benchmarks.peers.spec import load
from benchmarks.rabbitmq.peers.base import open_board
from benchmarks.rabbitmq.sessions import QUEUE
from workerpool import worker

_spec = load(os.environ["BENCH_SPEC"])
_hit: Callable[[int], None] = open_board(_spec).hit

if place := _spec.options.get("profile"):
    from benchmarks.rabbitmq.sampler import started_by

    _hit = started_by(_hit, place)


@worker(topic=QUEUE, concurrency=_spec.options.get("concurrency", 10))
async def bench(message: dict[str, Any]) -> None:
    """One message."""
    _hit(message["number"])
