"""The readings of one endpoint: one task, one reader, one request for all pools that are due.

A reading starts when a pool is due, somebody asks for it, a push arrived for a pool that sleeps, or a lost connection
is to be opened again. While one is under way, everything that happens is gathered for the next. Where nothing is
pushed, queues of pools that sleep are read more often than their pools are told.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from workerpool_contract.backlog import Reading, RunnerReport, Unknown, by_replica
from workerpool_operator.backlog.follower import Follower, answer
from workerpool_operator.backlog.pushes import Pushes
from workerpool_operator.backlog.reader import OpenReader, Signals
from workerpool_operator.backlog.watch import Endpoint, Look, Watch

logger = logging.getLogger(__name__)

Reports = Mapping[str, RunnerReport]
K = TypeVar("K", bound=Hashable)

FIRST_RETRY = 0.5
LONGEST_RETRY = 30.0
# A pool whose turn comes within this share of the shortest interval is read along with those that are due.
EARLY = 0.5
# What is read for pools that sleep may take this share of the time.
SHARE = 0.2


class Line(Generic[K]):
    """Everything that follows one endpoint."""

    def __init__(
        self, endpoint: Endpoint, open_reader: OpenReader, steady: Callable[[], float], notify: Callable[[K], None]
    ) -> None:
        """Starts its task; call it inside the loop. ``opened`` is set after the first reading, whatever it said."""
        self.opened = asyncio.Event()
        self._steady = steady
        self._notify = notify
        self._followers: dict[K, Follower] = {}
        self._by_queue: dict[str, set[K]] = {}
        self._pushes = Pushes()
        self._failures = 0
        self._retry = math.inf
        self._wake = asyncio.Event()
        self._reader = open_reader(endpoint, Signals(self._on_push, self._on_loss))
        self._task = asyncio.create_task(self._run(), name="backlogs of an endpoint")

    @property
    def empty(self) -> bool:
        """Whether nobody follows it."""
        return not self._followers

    def join(self, key: K, watch: Watch, seen: Look | None = None) -> None:
        """Follows a queue, or changes how. ``seen``: what is shown until the first reading."""
        now, follower = self._steady(), self._followers.get(key)
        if follower is not None and follower.watch == watch:
            return
        if follower is not None and follower.watch.queue == watch.queue:
            follower.change(watch, now)
        else:
            self.leave(key)
            self._followers[key] = Follower(watch, now, seen)
            self._by_queue.setdefault(watch.queue, set()).add(key)
        if not watch.asleep:
            self._pushes.woke(watch.queue)
        self._wake.set()

    def leave(self, key: K) -> Look | None:
        """Follows no longer; the last look."""
        follower = self._followers.pop(key, None)
        if follower is None:
            return None
        answer(follower.asked(), None)
        keys = self._by_queue[follower.watch.queue]
        keys.discard(key)
        if not keys:
            del self._by_queue[follower.watch.queue]
            self._pushes.forget(follower.watch.queue)
        return follower.look

    def look(self, key: K) -> Look | None:
        """What was seen last."""
        return self._followers[key].look

    def hasten(self, key: K, within: float) -> None:
        """Puts a follower's next turn forward."""
        follower = self._followers[key]
        follower.due = min(follower.due, self._steady() + within)
        self._wake.set()

    async def refresh(self, key: K) -> Look | None:
        """What a reading says that begins after this call; None when the key is forgotten meanwhile."""
        future: asyncio.Future[Look | None] = asyncio.get_running_loop().create_future()
        self._followers[key].waiting.append(future)
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Ends the task and closes the reader."""
        for key in list(self._followers):
            self.leave(key)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.opened.set()
        await self._reader.close()

    def _on_push(self, queue: str) -> None:
        asleep = any(self._followers[key].watch.asleep for key in self._by_queue.get(queue, ()))
        if asleep and self._pushes.add(queue):
            self._wake.set()

    def _on_loss(self) -> None:
        """A push may be missed from now on: reads at once, which opens the connection again."""
        if not self._failures:
            self._retry = self._steady()
            self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._turn()
            except Exception:  # a defect must not end the readings of everyone
                logger.exception("A turn of readings failed")
                self._retry = self._steady()
                await asyncio.sleep(FIRST_RETRY)

    async def _turn(self) -> None:
        pause = self._next() - self._steady()
        if pause > 0:
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which up to Python 3.11 loses a cancellation that comes together with a wake-up.
                async with asyncio.timeout(None if math.isinf(pause) else pause):
                    await self._wake.wait()
        self._wake.clear()
        chosen = self._chosen(self._steady())
        if chosen:
            await self._read(chosen)

    def _next(self) -> float:
        """When the next reading is to begin."""
        times = [min(follower.due, follower.glance) for follower in self._followers.values()]
        if any(follower.waiting for follower in self._followers.values()):
            return -math.inf
        return min([*times, self._pushes.next(), self._retry if self._followers else math.inf])

    def _chosen(self, now: float) -> dict[K, bool]:
        """Whom the reading that begins now is for, and whether they are to be told of it in any case."""
        pushed = self._pushes.take(now)
        everyone = self._retry <= now
        due = [follower.watch.interval for follower in self._followers.values() if follower.due <= now]
        shortest = min(due, default=0.0)
        glancing = any(follower.glance <= now for follower in self._followers.values())
        chosen: dict[K, bool] = {}
        for key, follower in self._followers.items():
            early = EARLY * min(follower.watch.interval, shortest)
            woken = follower.watch.asleep and follower.watch.queue in pushed
            if woken or follower.due <= now + early:
                chosen[key] = True
            elif everyone or follower.waiting or (glancing and follower.glance <= now + EARLY * follower.watch.glance):
                chosen[key] = False
        return chosen

    async def _read(self, chosen: Mapping[K, bool]) -> None:
        followers = {key: self._followers[key] for key in chosen}
        asked = {key: follower.asked() for key, follower in followers.items()}
        began = self._steady()
        try:
            readings, reports = await self._ask(list(followers.values()))
            now = self._steady()
            self._judge(readings.values(), reports, now)
            for key, follower in followers.items():
                queue = follower.watch.queue
                said = reports if isinstance(reports, Unknown) else reports.get(queue)
                follower.look_again(now, (now - began) / SHARE)
                if self._present(key, follower) and follower.take(readings[queue], said, now, tell=chosen[key]):
                    self._notify(key)
        finally:
            self.opened.set()
            for key, futures in asked.items():
                answer(futures, followers[key].look if self._present(key, followers[key]) else None)

    def _present(self, key: K, follower: Follower) -> bool:
        return self._followers.get(key) is follower

    async def _ask(self, followers: Sequence[Follower]) -> tuple[dict[str, Reading], dict[str, Reports] | Unknown]:
        """Readings of all queues, and what runners said of those whose pools have replicas."""
        queues = sorted({follower.watch.queue for follower in followers})
        awake = sorted({follower.watch.queue for follower in followers if not follower.watch.asleep})
        self._reader.cap = max(follower.watch.cap for follower in self._followers.values())
        try:
            answers = await self._reader.read(queues)
            readings = {queue: answers[queue] for queue in queues}
            reports = await self._reader.runners(awake) if awake else {}
            if isinstance(reports, Unknown):
                return readings, reports
            return readings, {queue: by_replica(reports[queue]) for queue in awake}
        except Exception as error:  # a defect in a reader must not end the readings of everyone
            logger.exception("Reading failed")
            unknown = Unknown(f"reading failed: {type(error).__name__}")
            return dict.fromkeys(queues, unknown), unknown

    def _judge(self, readings: Collection[Reading], reports: dict[str, Reports] | Unknown, now: float) -> None:
        """Tries again soon, and later and later, while the endpoint says nothing at all, or nothing of its runners."""
        if not isinstance(reports, Unknown) and not all(isinstance(reading, Unknown) for reading in readings):
            # A reading for pools that sleep says nothing of runners that are not heard.
            if reports or all(follower.watch.asleep for follower in self._followers.values()):
                self._failures, self._retry = 0, math.inf
            return
        delay = FIRST_RETRY * 2.0 ** min(self._failures, 16)
        self._failures += 1
        intervals = [follower.watch.interval for follower in self._followers.values()]
        self._retry = now + min([delay, LONGEST_RETRY, *intervals])
