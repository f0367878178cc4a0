"""Counts handler calls at next to no cost: the harness is told of the first and the last, the rest stays in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.peers.spec import NAP, Spec, answer

Handle = Callable[[int], Awaitable[None]]
"""An async handler of one job; the argument is the job's number."""


class Tally:
    """Handler calls of one worker process; times in ns of CLOCK_MONOTONIC, which all processes share."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._expected = spec.jobs
        self._active = 0
        self._handled = 0
        self._peak = 0
        self._starts: list[tuple[int, int]] = []

    def hit(self) -> None:
        """Count one call."""
        self._handled = handled = self._handled + 1
        if handled == 1:
            answer(self._spec, "first", at=time.monotonic_ns())
        if handled == self._expected:
            answer(self._spec, "last", at=time.monotonic_ns())

    def handler(self) -> Handle:
        """The handler for the kind of job that the spec asks for."""
        return {"noop": self._noop, "sleep": self._sleep, "latency": self._latency}[self._spec.job]

    def summary(self) -> None:
        """Tell the harness what was counted; to be called once, when the worker has stopped."""
        answer(self._spec, "summary", handled=self._handled, peak=self._peak, starts=self._starts)

    async def _noop(self, _number: int) -> None:
        self.hit()

    async def _sleep(self, _number: int) -> None:
        self.hit()
        self._active += 1
        self._peak = max(self._peak, self._active)
        await asyncio.sleep(NAP)
        self._active -= 1

    async def _latency(self, number: int) -> None:
        self._starts.append((number, time.monotonic_ns()))
        self.hit()
