"""Following a stream log: all that is in it and all that comes, whatever happens to the connection."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from aiormq.exceptions import AMQPChannelError

from workerpool.errors import SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.faults import reason
from workerpool.sources.rabbitmq.streamlog import MARKER, SILENCE, StreamLog
from workerpool.sources.rabbitmq.streamreading import Record, last_offset, reading
from workerpool.sources.rabbitmq.streamrecords import JsonRecord, records_of

LOGGER = logging.getLogger(__name__)

AGAIN: Final = 1.0
"""Seconds until the next try when reading failed."""
QUIET: Final = 0.25
"""Seconds without a message after which a stream is taken for an empty one."""
FOREVER: Final = 86_400.0


class Follower:
    """Gives ``callback`` every record of a log in order, in the loop that started it.

    Each comes once, unless the stream is deleted: then the new one is read from its beginning.
    """

    def __init__(self, log: StreamLog, callback: Callable[[list[JsonRecord]], None]) -> None:
        """Reads nothing before ``start``."""
        self._log = log
        self._callback = callback
        self._next: int | None = None
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Declares the stream if need be and follows it from now on. Raises SourceUnavailable."""
        await self._log.ensure()
        self._task = asyncio.create_task(self._follow(), name=f"follow {self._log.name}")

    async def stop(self) -> None:
        """Ends it; the callback is not called any more."""
        # aiormq turns a cancellation at an unlucky moment into its own error: the task looks here too.
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def sync(self, patience: float = SILENCE) -> None:
        """Until the callback has had every record that was in the log when this was called.

        Nothing is left in the log, but a first message in an empty one. Raises SourceUnavailable after ``patience``
        seconds without progress, or at once without a connection.
        """
        await self._until(await self._end(patience), patience)

    async def _end(self, patience: float) -> int:
        """The number of the last message in the log."""
        try:
            seems_empty = self._next is None
            last = await last_offset(self._log.link, self._log.name, QUIET if seems_empty else patience)
            if last is None and seems_empty:
                # A stream keeps what was ever written, for ever: this is done where there is nothing yet only.
                if self._next is None:
                    await self._log.mark(uuid4().hex)
                last = await last_offset(self._log.link, self._log.name, patience)
        except AMQPChannelError as error:
            raise self._unreadable(error) from None
        if last is None:
            raise self._unreadable()
        return last

    async def _until(self, last: int, patience: float) -> None:
        """Returns when the message of this number was read."""
        while self._next is None or self._next <= last:
            self._progress.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._progress.wait()
            except TimeoutError:
                raise self._unreadable() from None

    def _unreadable(self, why: BaseException | None = None) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self._log.link.endpoint.shown}: stream {self._log.name!r} can't be read to its end at the moment"
            + ("" if why is None else f" ({reason(why)})")
        )

    async def _follow(self) -> None:
        while not self._stopped:
            try:
                await self._log.link.ready(FOREVER)
                await self._log.ensure()
                offset = "first" if self._next is None else self._next
                async with reading(self._log.link, self._log.name, offset, self._take) as ended:
                    if await ended:
                        self._next = None
            except (SourceError, AMQPChannelError) as error:
                LOGGER.warning("stream %s can't be read: %s", self._log.name, reason(error))
            await asyncio.sleep(AGAIN)

    def _take(self, record: Record) -> None:
        if self._next is not None and record.offset < self._next:
            return
        self._next = record.offset + 1
        if MARKER not in record.headers and (records := records_of(record.body)):
            self._tell(records)
        self._progress.set()

    def _tell(self, records: list[JsonRecord]) -> None:
        try:
            self._callback(records)
        except Exception:
            LOGGER.exception("records of stream %s can't be used", self._log.name)
