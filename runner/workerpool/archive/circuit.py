"""A storage that is away costs no message an attempt: its jobs wait in line while one of them tries.

While the storage works every call goes straight through. After a failure one job at a time tries again, at a growing,
jittered delay; the first success lets all of them go on. A job that has waited for ``hold`` seconds goes back to its
queue as it was. If others succeeded between its tries time and again, the fault is its own, and its attempt counts.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from workerpool.archive.faults import Fault, Kind
from workerpool.errors import HandBack, RetryableError, TerminalError

T = TypeVar("T")
log = logging.getLogger("workerpool.archive")

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 15.0
"""Seconds between two tries of a storage that is away."""
REMIND: Final = 60.0
"""Seconds after which a fault that lasts is logged again."""
OWN_FAULT: Final = 3
"""How often others succeed between two failed tries of a job until the fault is the job's own."""


class Circuit:
    """Lets calls to the storage through, or makes them wait. Everything runs in one loop.

    ``clock``: the loop's monotonic seconds. ``hold``: seconds that a call may take with all its tries. ``failed`` is
    told the kind of each failed try. ``closed``: from now on whoever would have to wait is refused at once.
    """

    def __init__(self, clock: Callable[[], float], hold: float, failed: Callable[[Kind], None]) -> None:
        self.fault: Fault | None = None
        self.is_up = False
        self.closed = False
        self._clock = clock
        self._hold = hold
        self._failed = failed
        self._scout = asyncio.Lock()
        self._waiting: set[asyncio.Timeout] = set()
        self._delay = FIRST_DELAY
        self._next_try = 0.0
        self._down_since = 0.0
        self._logged_at = 0.0
        self._logged = ""
        self._succeeded_at = float("-inf")

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns, tried until it succeeds.

        Raises TerminalError when it never can, RetryableError when the fault is this call's own, HandBack when the
        storage is away for longer than the job may wait.
        """
        last: Fault | None = None
        failed_at, overtaken = float("inf"), 0
        try:
            async with asyncio.timeout(self._hold) as limit:
                while True:
                    is_scout = await self._turn(limit)
                    try:
                        result = await call()
                    except Fault as fault:
                        overtaken += self._succeeded_at > failed_at
                        last, failed_at = fault, self._clock()
                        self._broke(fault, is_scout=is_scout)
                    else:
                        self._worked()
                        return result
                    finally:
                        if is_scout:
                            self._scout.release()
        except TimeoutError:
            if last is not None and overtaken >= OWN_FAULT:
                raise RetryableError(last.words) from None
            raise HandBack(str(last or self.fault or "the S3 server has not answered yet")) from None

    def close(self) -> None:
        """Whoever waits goes back to the queue now; calls that are under way may end."""
        self.closed = True
        for limit in self._waiting:
            limit.reschedule(asyncio.get_running_loop().time())

    async def _turn(self, limit: asyncio.Timeout) -> bool:
        """Waits until a call may be made; True: as the only one, and the caller releases the scout's lock."""
        if self.is_up:
            return False
        if self.closed:
            raise HandBack("the runner stops while the S3 server is away")
        self._waiting.add(limit)
        try:
            await self._scout.acquire()
            try:
                if not self.is_up:
                    await asyncio.sleep(max(0.0, self._next_try - self._clock()))
                    return True
            except BaseException:
                self._scout.release()
                raise
            self._scout.release()
            return False
        finally:
            self._waiting.discard(limit)

    def _worked(self) -> None:
        self._succeeded_at = self._clock()
        if self.is_up:
            return
        self.is_up = True
        if self._logged:
            log.info("The S3 server takes objects again, after %.0f s", self._succeeded_at - self._down_since)
        self.fault, self._logged = None, ""

    def _broke(self, fault: Fault, *, is_scout: bool) -> None:
        """Notes a failed try. Raises TerminalError or RetryableError where waiting can't help."""
        self._failed(fault.kind)
        if fault.kind is Kind.IMPOSSIBLE:
            raise TerminalError(fault.words) from None
        if fault.kind is Kind.REFUSED:
            raise RetryableError(fault.words) from None
        now = self._clock()
        if self.fault is None:
            self._down_since, self._delay = now, FIRST_DELAY
        elif is_scout:
            self._delay = min(LONGEST_DELAY, self._delay * 2)
        self.is_up, self.fault = False, fault
        self._next_try = now + self._delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        # Each try is another object's, and so are its words.
        sort = f"{fault.kind} {fault.code}"
        if is_scout and (sort != self._logged or now - self._logged_at > REMIND):
            self._logged, self._logged_at = sort, now
            log.warning("The S3 server takes no objects, so jobs wait and lose no attempt: %s", fault.words)
