"""Dead letters of a broker: looked through, made ready again, dropped.

A dead letter leaves its queue only after its copy was confirmed: a crash in between leaves one job too many, never one
too few.
"""

import heapq
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from workerpool.sources.administration import DeadFilter, DeadJob, Progress
from workerpool.sources.rabbitmq.admin_desk import Desk, moment
from workerpool.sources.rabbitmq.admin_letter import Letter, letter_of, matches, ready_again, told
from workerpool.sources.rabbitmq.browsing import WINDOW, Browser, depth
from workerpool.sources.rabbitmq.crashes import delivery_number
from workerpool.sources.rabbitmq.deadletters import encode_again
from workerpool.sources.rabbitmq.envelope import is_own, milliseconds
from workerpool.sources.rabbitmq.messages import Arrival
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool_contract.rabbitmq import dead

WORN: Final = 5
"""Looks after which a dead letter is copied where nobody tells the limit of its queue, which may be another's."""

Found = tuple[Arrival, Letter]
Settle = Callable[[Sequence[Found]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Letters:
    """The dead letters of a virtual host. Raises SourceUnavailable, SourceError, and ConfigError for unknown queues."""

    desk: Desk

    async def newest(self, wanted: DeadFilter) -> list[DeadJob]:
        """Those that match, newest first."""
        newest: list[tuple[int, int, int, DeadJob]] = []
        seen = 0
        for queue in await self.desk.queues(wanted.queue):
            async with self.desk.looking(queue, dead(queue)) as browser:
                while batch := await self._take(browser):
                    for arrival, letter in batch:
                        if matches(letter, wanted):
                            seen += 1
                            it = told(letter, self._enqueued(arrival, letter))
                            entry = (letter.died, it.id, seen, it)
                            if wanted.limit is None or len(newest) < wanted.limit:
                                heapq.heappush(newest, entry)
                            else:
                                heapq.heappushpop(newest, entry)
                    await self._spare(browser, batch)
        return [entry[-1] for entry in sorted(newest, reverse=True)]

    async def count(self, wanted: DeadFilter) -> int:
        """How many match."""
        found = 0
        for queue in await self.desk.queues(wanted.queue):
            if wanted.ids or wanted.reason is not None:
                async with self.desk.looking(queue, dead(queue)) as browser:
                    while batch := await self._take(browser):
                        found += sum(matches(letter, wanted) for _, letter in batch)
                        await self._spare(browser, batch)
            elif (standing := await depth(self.desk.link, dead(queue))) is not None:
                found += standing.messages
        return found if wanted.limit is None else min(found, wanted.limit)

    async def redrive(self, wanted: DeadFilter, progress: Progress) -> int:
        """Makes them ready, with nothing on record but what they were sent with; ``progress`` as it goes."""

        async def again(found: Sequence[Found]) -> None:
            now = milliseconds(self.desk.wall())
            await self.desk.send([ready_again(letter, now) for _, letter in found])

        return await self._settle(wanted, again, progress)

    async def drop(self, wanted: DeadFilter, progress: Progress) -> int:
        """Deletes them for good; ``progress`` as it goes."""

        async def forget(_found: Sequence[Found]) -> None:
            """Nothing is published."""

        return await self._settle(wanted, forget, progress)

    async def _settle(self, wanted: DeadFilter, act: Settle, progress: Progress) -> int:
        # What dies from now on, maybe of being redriven, is another matter.
        start, done = milliseconds(self.desk.wall()), 0
        for queue in await self.desk.queues(wanted.queue):
            async with self.desk.looking(queue, dead(queue)) as browser:
                while wanted.limit is None or done < wanted.limit:
                    most = WINDOW if wanted.limit is None or wanted.reason or wanted.ids else wanted.limit - done
                    batch = await self._take(browser, most)
                    if not batch:
                        break
                    chosen = [it for it in batch if matches(it[1], wanted) and it[1].died <= start]
                    chosen = chosen if wanted.limit is None else chosen[: wanted.limit - done]
                    await act(chosen)
                    await browser.acknowledge(arrival for arrival, _ in chosen)
                    await self._spare(browser, [it for it in batch if it not in chosen])
                    done += len(chosen)
                    if chosen:
                        progress(len(chosen))
        return done

    def _enqueued(self, arrival: Arrival, letter: Letter) -> datetime:
        """When the job was enqueued at first; the broker's letters of foreign messages have ids without a time."""
        job = letter.envelope
        return self.desk.made(job) if is_own(arrival.properties) else moment(job.enqueued)

    async def _take(self, browser: Browser, most: int = WINDOW) -> list[Found]:
        now = self.desk.wall()
        return [(it, letter_of(it, now)) for it in await browser.take(min(most, WINDOW))]

    async def _spare(self, browser: Browser, left: Iterable[Found]) -> None:
        """Replaces what was looked at often by a copy that wasn't."""
        limits = self.desk.limits
        if not limits.counted or not self.desk.is_ours(browser.queue):
            return
        numbered = [(it, delivery_number(it[0].properties.headers, redelivered=it[0].redelivered) + 1) for it in left]
        if any(number >= limits.near for _, number in numbered):
            mark = await limits.mark(browser.name, WORN)
            worn = [it for it, number in numbered if mark is not None and number >= mark]
            copies = [
                (arrival, Outgoing("", browser.name, *encode_again(letter, arrival.properties)))
                for arrival, letter in worn
            ]
            await self.desk.replace(browser, copies)
