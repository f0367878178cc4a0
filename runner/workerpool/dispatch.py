"""The claim loop of a process: asks the source for as much as the lanes can take, and sleeps when there is nothing.

The next claim is sent while the jobs of the last one run. An empty queue is polled at a growing, jittered interval,
and a notification cuts every sleep short.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workerpool.errors import ConfigError, SourceError
from workerpool.lanes import Lane
from workerpool.sources.base import Job, JobSource

log = logging.getLogger("workerpool.dispatch")

FIRST_POLL = 0.01
"""Seconds until the first look after work was seen."""


@dataclass(slots=True)
class Dispatcher:
    """Feeds ``lanes`` from ``source``.

    ``poll``: the longest interval in seconds between two looks at an idle queue. ``congested``: outcomes pile up faster
    than the source takes them, so nothing more is claimed; ``held_up``: the same of one queue. ``claimed``: told the
    jobs of each claim and its seconds.
    """

    source: JobSource
    lanes: Sequence[Lane]
    clock: Callable[[], float]
    poll: float = 2.0
    congested: Callable[[], bool] = field(default=lambda: False)
    held_up: Callable[[str], bool] = field(default=lambda _queue: False)
    claimed: Callable[[Sequence[Job], float], None] = field(default=lambda _jobs, _seconds: None)
    turned: float = 0.0
    _round_trip: float = 0.002
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _draining: bool = False
    _by_queue: dict[str, Lane] = field(default_factory=dict)

    def hungry(self) -> None:
        """A lane has room."""
        self._room.set()

    def drain(self) -> None:
        """No further claim; one that is on its way is handed back."""
        self._draining = True
        self._room.set()
        self.source.wake()

    async def run(self) -> None:
        """Until ``drain``."""
        self._by_queue = {lane.config.queue: lane for lane in self.lanes}
        pause = FIRST_POLL
        trouble = 0.0
        while not self._draining:
            self.turned = self.clock()
            lanes = [lane for lane in self.lanes if not self.held_up(lane.config.queue)]
            wants = {lane.config.queue: n for lane in lanes if (n := lane.want(self._round_trip))}
            if not wants or self.congested():
                self._room.clear()
                await self._wait_for_room()
                continue
            try:
                jobs = await self._claim(wants)
            # ConfigError: a password or a database that was there at the start may come back as it went.
            except (SourceError, ConfigError) as error:
                trouble = await self._back_off(trouble, error)
                continue
            trouble = 0.0
            counts = self._hand_out(jobs)
            if jobs:
                pause = FIRST_POLL
            if all(counts.get(queue, 0) < n for queue, n in wants.items()) and not self._draining:
                woken = await self.source.wait(pause * random.uniform(0.8, 1.0))  # noqa: S311 - jitter
                pause = FIRST_POLL if woken else min(self.poll, pause * 2)
        try:
            await self.source.retire()
        except (SourceError, ConfigError) as error:
            log.warning("What was taken ahead is given back only at the end: %s", error)

    async def _claim(self, wants: dict[str, int]) -> list[Job]:
        sent = self.clock()
        jobs = await self.source.claim(wants)
        took = self.clock() - sent
        self._round_trip += (took - self._round_trip) * 0.2
        for lane in self.lanes:
            lane.measure()
        self.claimed(jobs, took)
        return jobs

    def _hand_out(self, jobs: Sequence[Job]) -> dict[str, int]:
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.queue, []).append(job)
        for queue, group in groups.items():
            lane = self._by_queue[queue]
            lane.offer(group)
            if self._draining:
                lane.hand_back()
        return {queue: len(group) for queue, group in groups.items()}

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._room.wait()
        except TimeoutError:
            return

    async def _back_off(self, trouble: float, error: Exception) -> float:
        if not trouble:
            log.warning("Claiming paused: %s", error)
        trouble = min(2.0, trouble * 2 or 0.1)
        await asyncio.sleep(trouble * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        return trouble
