"""Settles outcomes in batches: at once when nothing is on its way, otherwise with what gathers meanwhile.

No timer: an idle runner settles in one round trip, a busy one makes its own batches. Outcomes stay here until the
source took them, however long it is away.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workerpool.errors import ConfigError, PayloadError, SchemaError, SourceUnavailable
from workerpool.outcome import DeadLetter, DeadReason
from workerpool.sources.base import Job, JobSource, PartlySettled, Settlement

log = logging.getLogger("workerpool.settle")

BATCH = 512
"""Settlements per exchange: more adds latency for the others, not throughput."""


@dataclass(slots=True)
class Settler:
    """Collects settlements and sends them; ``done`` is told what the source took and which jobs were stale."""

    source: JobSource
    done: Callable[[Sequence[Settlement], Sequence[Job]], None]
    _pending: list[Settlement] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _broken: bool = False
    _unsure: set[int] = field(default_factory=set)
    _refused: list[Settlement] = field(default_factory=list)
    _put_off_ids: set[int] = field(default_factory=set)
    _patience: float = 0.0

    def add(self, settlement: Settlement) -> None:
        """Takes one outcome; it is sent in this or the next exchange."""
        self._pending.append(settlement)
        self._idle.clear()
        self._wake.set()

    @property
    def backlog(self) -> int:
        """Settlements that wait for the source."""
        return len(self._pending) + len(self._refused)

    @property
    def congested(self) -> bool:
        """Outcomes come faster than the source takes them, or wait for it to come back: they go first."""
        return self._broken or len(self._pending) > 4 * BATCH

    def held_up(self, queue: str) -> bool:
        """So many outcomes of this queue are refused that no more of its jobs are to be claimed."""
        return len(self._refused) >= BATCH and sum(it.job.queue == queue for it in self._refused) >= BATCH

    async def run(self) -> None:
        """Sends until ``close`` was called and everything is settled."""
        delay = 0.0
        while True:
            if not self._pending:
                if not self._refused:
                    self._idle.set()
                    if self._closing:
                        return
                self._wake.clear()
                await self._wake.wait()
                continue
            self._idle.clear()
            batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
            try:
                batch, stale = await self._exchange(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, no outcome may be lost by it
                if _is_outage(error):
                    self._pending = batch + self._pending
                    delay = await self._back_off(delay, error)
                    continue
                batch, stale = await self._one_by_one(batch, error)
            self._broken = False
            self._put_off_ids.difference_update(it.job.id for it in batch)
            if not self._put_off_ids:
                self._patience = 0.0
            self.done(batch, stale)
            delay = 0.0

    async def drained(self) -> None:
        """Until nothing waits to be settled."""
        while self._pending or self._refused or not self._idle.is_set():
            self._wake.set()
            await self._idle.wait()

    def close(self) -> None:
        """``run`` ends once everything is settled."""
        self._closing = True
        self._wake.set()

    async def _exchange(self, batch: list[Settlement]) -> tuple[list[Settlement], list[Job]]:
        """Sends a batch; returns what the source took, and the stale jobs.

        Stale is not what an earlier, broken exchange may have settled itself.
        """
        try:
            stale = await self.source.settle(batch)
        except PartlySettled as partly:
            return await self._partly(batch, partly)
        except Exception as error:
            if _is_outage(error):
                self._unsure.update(it.job.id for it in batch)
            raise
        return batch, self._surely(batch, stale)

    async def _partly(self, batch: list[Settlement], partly: PartlySettled) -> tuple[list[Settlement], list[Job]]:
        """As ``_exchange``, after the source took only a part of the batch."""
        refused = list(partly.refused)
        if len(batch) == 1 and not _is_outage(partly.cause):
            raise partly.cause
        left = {id(it) for it in refused}
        taken = [it for it in batch if id(it) not in left]
        stale = self._surely(taken, partly.stale)
        if _is_outage(partly.cause):
            self._put_off(refused, partly)
            return taken, stale
        more, gone = await self._one_by_one(refused, partly.cause)
        return taken + more, stale + gone

    def _surely(self, taken: Sequence[Settlement], stale: Sequence[Job]) -> list[Job]:
        sure = [job for job in stale if job.id not in self._unsure]
        self._unsure.difference_update(it.job.id for it in taken)
        return sure

    def _put_off(self, refused: Sequence[Settlement], error: Exception) -> None:
        """Outcomes that the source doesn't take at the moment are sent again later, and hold up nobody meanwhile."""
        if not self._patience:
            log.warning("Outcomes of %d jobs are not taken and wait: %s", len(refused), error)
        if not self._refused:
            self._patience = min(2.0, self._patience * 2 or 0.05)
            delay = self._patience * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
            asyncio.get_running_loop().call_later(delay, self._try_again)
        self._refused += refused
        self._put_off_ids.update(it.job.id for it in refused)

    def _try_again(self) -> None:
        self._pending += self._refused
        self._refused = []
        self._wake.set()

    async def _one_by_one(self, batch: Sequence[Settlement], error: Exception) -> tuple[list[Settlement], list[Job]]:
        """The server refused a batch: finds what it can't store, so that the others don't wait for it for ever."""
        log.warning("A batch of %d outcomes was refused, settling one at a time: %s", len(batch), error)
        taken: list[Settlement] = []
        stale: list[Job] = []
        for place, settlement in enumerate(batch):
            try:
                done, gone = await self._settle_or_bury(settlement)
            except Exception as again:
                if _is_outage(again):
                    self._pending = [*batch[place:], *self._pending]
                    return taken, stale
                log.exception("Job %d of %s is left to its lease", settlement.job.id, settlement.job.queue)
                done, gone = [settlement], [settlement.job]
            taken += [settlement] if done else []
            stale += gone
        return taken, stale

    async def _settle_or_bury(self, settlement: Settlement) -> tuple[list[Settlement], list[Job]]:
        """An outcome that can't be stored becomes a dead letter that says so, which always can."""
        try:
            return await self._exchange([settlement])
        except Exception as error:
            if _is_outage(error):
                raise
            job, text = settlement.job, f"the outcome could not be stored: {error}"
            log.error("Dead letter: job %d of %s: %s", job.id, job.queue, text)  # noqa: TRY400 - told in words
        return await self._exchange([settlement._replace(outcome=DeadLetter(DeadReason.ERROR, text))])

    async def _back_off(self, delay: float, error: Exception) -> float:
        if not delay:
            log.warning("Outcomes of %d jobs wait for the queue's server: %s", len(self._pending), error)
        self._broken = True
        delay = min(2.0, delay * 2 or 0.05)
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        return delay


def _is_outage(error: Exception) -> bool:
    """Whether trying again later may help: the server is away, being migrated, or its password has changed."""
    return isinstance(error, SourceUnavailable | SchemaError | ConfigError) and not isinstance(error, PayloadError)
