"""What a source sees to twice a second while its runner works: consumers, prefetch, hoarded jobs, reports, deafness."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from aiormq.exceptions import AMQPError

from workerpool.errors import SourceError
from workerpool.sources.rabbitmq import prefetch
from workerpool.sources.rabbitmq.delivery import Delivery
from workerpool.sources.rabbitmq.feeding import Feeding
from workerpool.sources.rabbitmq.parts import Parts
from workerpool.sources.rabbitmq.reporting import Reporter, Totals
from workerpool.sources.rabbitmq.watchdog import SILENCE, Watchdog

log = logging.getLogger("workerpool.rabbitmq")

TURN: Final = 0.5
"""Seconds between two rounds."""
SOON: Final = 0.1
"""Seconds until the next round when slots are starved: a deep queue of short jobs needs a larger prefetch at once."""
ASKED: Final = 5.0
"""Seconds after a claim for which the runner counts as one that asks for jobs: an idle one claims every two seconds."""
UNASKED: Final = 1.0
"""Seconds after a claim from which on what needs a word with the broker is seen to here: a busy runner claims none."""
LONGEST_HELD: Final = 300.0
"""Seconds that a job may wait here for a slot: the broker ends a channel that holds one for 30 minutes."""
ASIDE: Final = 1200.0
"""Seconds after which what was set aside is seen to again, by giving it back: nobody may hold it for 30 minutes.

Not oftener: it may count as a delivery in vain, of which the queue allows a limited number.
"""
LEFT: Final = 30.0
"""Seconds after which a job that a handler declared lost, though it was not, goes to another runner.

Not at once: a handler that always says so would get it again and again without a pause.
"""


@dataclass(slots=True)
class Upkeep:
    """``clock``: steady seconds. ``silence``: seconds without an arrival that make a hungry runner suspicious.

    ``left``: seconds that a job which was given up without an outcome stays here, ``aside``: what was set aside.
    ``asked``: the queues that the last claim asked for, ``asked_at`` when (steady seconds); ``hungry``: it got less
    than it asked for; ``starved``: one did although the prefetch was used up.
    """

    parts: Parts
    feeding: Feeding
    reporter: Reporter
    totals: Totals
    clock: Callable[[], float]
    silence: float = SILENCE
    left: float = LEFT
    aside: float = ASIDE
    watchdog: Watchdog = field(default_factory=Watchdog)
    hungry: bool = False
    asked: tuple[str, ...] = ()
    asked_at: float = float("-inf")
    starved: bool = False
    _soon: asyncio.Event = field(default_factory=asyncio.Event)
    _apart: "asyncio.Task[int] | None" = None
    _ended: int = 0
    _at: float = 0.0
    _rate: float = 0.0

    def claimed(self, wants: Mapping[str, int], found: int) -> None:
        """A claim asked for ``wants`` and got ``found`` jobs."""
        self.asked, self.asked_at = tuple(queue for queue, n in wants.items() if n), self.clock()
        self.hungry = found < sum(wants.values())
        if self.hungry and self.feeding.consuming:
            used, limit = self.parts.holding.unsettled, self.feeding.prefetch
            if limit < prefetch.MOST and any(used[queue] * 4 >= limit * 3 for queue in wants):
                self.starved = True
                self._soon.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._at = self.clock()
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TURN):
                        await self._soon.wait()
                    await asyncio.sleep(SOON)
                self._soon.clear()
                await self._round()
        finally:
            await self.parts.unrouted.stop()

    async def _round(self) -> None:
        link = self.parts.link
        self._measure()
        if not link.connected:
            self.watchdog.heard()
            return
        self.parts.unrouted.beat()
        for task in (self._reporting, self._consuming, self._resolving, self._returning, self._watching):
            try:
                await task()
            except (SourceError, AMQPError) as error:
                log.debug("upkeep is put off: %s", error)
            except Exception:
                # Without upkeep the runner would go deaf unseen.
                log.exception("upkeep failed")

    def _measure(self) -> None:
        now, ended = self.clock(), self.totals.ended
        elapsed = now - self._at
        if elapsed > 0:
            self._rate += ((ended - self._ended) / elapsed - self._rate) * 0.5
        self._ended, self._at = ended, now

    async def _reporting(self) -> None:
        await self.reporter.beat()

    async def _consuming(self) -> None:
        """Other consumers for another prefetch, and for those that the broker cancelled."""
        feeding = self.feeding
        if not feeding.consuming:
            return
        starved, self.starved = self.starved, False
        adjusted = prefetch.adjusted(feeding.prefetch, feeding.slots, self._rate, self.totals.mean, starved=starved)
        if adjusted != feeding.prefetch or feeding.consumers.missing or self.parts.holding.crowded:
            feeding.prefetch = adjusted
            await feeding.consume()

    async def _resolving(self) -> None:
        """Retries that are not due, or jobs that came again, are not to wait here until a slot is free."""
        if not self.parts.intake.pending or self.clock() - self.asked_at <= UNASKED:
            return
        # Runs to its end even if the source closes: a copy that was published is to be acknowledged as well.
        self._apart = asyncio.create_task(self.parts.intake.resolve())
        await asyncio.shield(self._apart)
        self.feeding.woken()

    async def _returning(self) -> None:
        """What waits here too long is another runner's."""
        await self._give_back_old()
        await self._take_up()
        left = self.parts.holding.left_before(self.clock() - self.left)
        if left:
            log.warning(
                "%d jobs whose handlers raised LeaseLost were not lost; they go back to their queues", len(left)
            )
            await self.parts.returning.hand_over(left)

    async def _take_up(self) -> None:
        """What was set aside is given back, and seen to again by whoever gets it."""
        holding = self.parts.holding
        aside = holding.taken_up(self.clock() - self.aside)
        if not aside:
            return
        self.parts.sender.try_again()
        try:
            await self.parts.returning.give_back(aside)
        finally:
            for it in aside:
                if not it.over:
                    holding.set_aside(it)

    async def _give_back_old(self) -> None:
        moment = self.clock() - LONGEST_HELD
        old = [it for buffer in self.parts.buffers.values() for it in buffer.older_than(moment)]
        if not old:
            return
        try:
            await self.parts.returning.give_back(old)
        except BaseException:
            # They are still held: nobody else gets them, so they have to be claimable here.
            self._keep(old)
            raise
        log.info("%d jobs waited here for %g s and went back to their queues", len(old), LONGEST_HELD)

    def _keep(self, deliveries: Sequence[Delivery]) -> None:
        for it in deliveries:
            if it.over or not self.parts.holding.is_current(it):
                continue
            buffer, due = self.parts.buffers[it.envelope.queue], it.envelope.due
            if due is None:
                buffer.put(it)
            else:
                buffer.keep(it, due)
        self.feeding.woken()

    def _silent(self) -> list[str]:
        """The queues that jobs are asked for and none came from. What is unsettled came, or used up the prefetch."""
        parts, now = self.parts, self.clock()
        if not self.hungry or now - self.asked_at > ASKED or now - parts.intake.last < self.silence:
            return []
        if parts.link.blocked or parts.intake.pending:
            return []
        return [queue for queue in self.asked if not parts.holding.unsettled[queue]]

    async def _watching(self) -> None:
        """Work on the broker, idle slots, consumers, and yet nothing comes: then the channel is at fault."""
        silent = self._silent()
        if not silent:
            self.watchdog.heard()
        elif self.feeding.consuming and self.watchdog.hungry(self.clock(), self.silence):
            ready = await self.feeding.ready(silent)
            if not self._silent():
                # It came while the broker was asked.
                self.watchdog.heard()
            elif self.watchdog.looked(self.clock(), ready):
                log.error(
                    "%d jobs are ready and none was delivered for %g s; the channel is replaced", ready, self.silence
                )
                self.parts.link.reset("deaf: jobs are ready and none is delivered")
