"""Following a stream log: all that is in it and all that comes, whatever happens to the connection."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from aiormq.exceptions import AMQPChannelError

from workerpool.errors import SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.faults import reason
from workerpool.sources.rabbitmq.streamlog import MARKER, JsonRecord, StreamLog, records_of
from workerpool.sources.rabbitmq.streamreading import Record, reading

LOGGER = logging.getLogger(__name__)

AGAIN: Final = 1.0
"""Seconds until the next try when reading failed."""
SYNC_TIMEOUT: Final = 10.0
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
        self._markers: dict[str, asyncio.Event] = {}
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

    async def sync(self, timeout: float = SYNC_TIMEOUT) -> None:
        """Until the callback has had every record that was in the log when this was called.

        Raises SourceUnavailable after ``timeout`` seconds, or at once when nothing can be written.
        """
        seen = asyncio.Event()
        marker = uuid4().hex
        self._markers[marker] = seen
        try:
            async with asyncio.timeout(timeout):
                await self._log.mark(marker)
                await seen.wait()
        except TimeoutError:
            raise SourceUnavailable(
                f"{self._log.link.endpoint.shown}: stream {self._log.name!r} can't be read to its end at the moment"
            ) from None
        finally:
            self._markers.pop(marker, None)

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
        marker = record.headers.get(MARKER)
        if marker is None:
            records = records_of(record.body)
            if records:
                self._tell(records)
        elif marker in self._markers:
            self._markers[marker].set()

    def _tell(self, records: list[JsonRecord]) -> None:
        try:
            self._callback(records)
        except Exception:
            LOGGER.exception("records of stream %s can't be used", self._log.name)
