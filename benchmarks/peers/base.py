"""What the Python contenders share: the roles of a program and the loops that enqueue."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import uvloop

from benchmarks.peers.spec import BATCH, Spec, answer, load
from benchmarks.peers.tally import Tally


class Producer(Protocol):
    """Enqueues jobs; a job's only argument is its number."""

    async def single(self, number: int) -> None:
        """Enqueue one job, committed when this returns."""

    async def batch(self, numbers: Sequence[int]) -> None:
        """Enqueue many jobs in the contender's own way of doing that."""


class Copier(Protocol):
    """A producer that can load jobs by COPY."""

    async def copy(self, numbers: Sequence[int]) -> None:
        """Enqueue all jobs by one COPY."""


class Peer(Protocol):
    """One contender."""

    async def setup(self, spec: Spec) -> None:
        """Create the contender's tables in an empty database."""

    def producer(self, spec: Spec) -> AbstractAsyncContextManager[Producer]:
        """An open producer."""

    async def work(self, spec: Spec, tally: Tally, stop: asyncio.Event) -> None:
        """Run one worker until `stop` is set."""


def main(peer: Peer) -> None:
    """Do what the spec file named on the command line asks of `peer`."""
    spec = load(sys.argv[1])
    role = {"setup": peer.setup, "enqueue": _Enqueue(peer).run, "work": _Work(peer).run}[spec.role]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(role(spec))


class _Work:
    """The role `work`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def run(self, spec: Spec) -> None:
        """Work until SIGTERM, then report."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        tally = Tally(spec)
        try:
            await self._peer.work(spec, tally, stop)
        finally:
            tally.summary()


class _Enqueue:
    """The role `enqueue`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def run(self, spec: Spec) -> None:
        """Enqueue `spec.jobs` jobs in the mode asked for, once the harness has closed our standard input."""
        async with self._peer.producer(spec) as producer:
            loop = {"single": self._single, "batch": self._batch, "copy": self._copy, "paced": self._paced}[spec.mode]
            answer(spec, "ready")
            sys.stdin.read()
            start, cpu = time.monotonic_ns(), time.process_time()
            sent = await loop(producer, spec)
            seconds = (time.monotonic_ns() - start) / 1e9
            answer(spec, "end", seconds=seconds, cpu=time.process_time() - cpu, sent=sent)

    async def _single(self, producer: Producer, spec: Spec) -> list[tuple[int, int]]:
        for number in range(spec.jobs):
            await producer.single(number)
        return []

    async def _batch(self, producer: Producer, spec: Spec) -> list[tuple[int, int]]:
        for start in range(0, spec.jobs, BATCH):
            await producer.batch(range(start, min(start + BATCH, spec.jobs)))
        return []

    async def _copy(self, producer: Producer, spec: Spec) -> list[tuple[int, int]]:
        copier: Copier = producer  # type: ignore[assignment] # only contenders that list the mode are asked for it
        await copier.copy(range(spec.jobs))
        return []

    async def _paced(self, producer: Producer, spec: Spec) -> list[tuple[int, int]]:
        """One job per gap; the time before the call and after its return, in ns."""
        sent = []
        for number, gap in enumerate(spec.gaps):
            await asyncio.sleep(gap)
            before = time.monotonic_ns()
            await producer.single(number)
            sent.append((before, time.monotonic_ns()))
        return sent
