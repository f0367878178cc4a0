"""A log that every runner of a virtual host appends to and reads: a RabbitMQ stream of JSON records."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from aiormq.exceptions import ChannelNotFoundEntity

from workerpool.errors import PayloadError, SourceUnavailable
from workerpool.sources.rabbitmq.declare import declare
from workerpool.sources.rabbitmq.faults import translated
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing, Unroutable
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamreading import Record, reading
from workerpool.sources.rabbitmq.streamrecords import JsonRecord, bodies, records_of
from workerpool.sources.rabbitmq.topology import Queue
from workerpool_contract.rabbitmq import STREAMS

MARKER: Final = "workerpool-marker"
"""Header of a message without records, written by a reader to know when it has read up to now."""
SILENCE: Final = 10.0
"""Seconds without a message after which a reader gives up: its own marker is on its way."""


class _Reached(Exception):
    """A reader met its own marker."""


class StreamLog:
    """One of the streams of ``workerpool_contract.rabbitmq``."""

    def __init__(self, link: Link, sender: Sender, name: str) -> None:
        """Declares nothing yet."""
        self.link = link
        self.name = name
        self._sender = sender

    async def ensure(self) -> None:
        """Declares the stream where it is missing; one with other limits is used as it is.

        Raises SourceUnavailable, and SourceError where it is missing and this user may not declare it.
        """
        await declare(self.link, [Queue(self.name, STREAMS[self.name])])

    async def append(self, records: Sequence[JsonRecord]) -> None:
        """Durable when it returns; all or some of it may be there otherwise. Raises SourceUnavailable, SourceError."""
        try:
            await self._put(self._messages(records))
        except PayloadError:
            # Now that the broker has said what it takes, nothing is larger.
            await self._put(self._messages(records))

    async def mark(self, marker: str) -> None:
        """Writes a marker: a reader that meets it has met all that was there when this was called."""
        await self._put([Outgoing("", self.name, b"[]", {MARKER: marker})])

    async def read(self, *, since: float | None = None) -> list[JsonRecord]:
        """Every record up to now, oldest first; ``since`` (seconds since 1970) passes over most of what is older.

        Raises SourceUnavailable, SourceError.
        """
        found: list[JsonRecord] = []
        await self.scan(found.extend, since=since)
        return found

    async def scan(self, take: Callable[[list[JsonRecord]], None], *, since: float | None = None) -> None:
        """As ``read``, message by message: for a stream that is too large to be held. ``take`` may not wait."""
        marker = uuid4().hex
        loop = asyncio.get_running_loop()
        last = loop.time()

        def took(record: Record) -> None:
            nonlocal last
            last = loop.time()
            if record.headers.get(MARKER) == marker:
                raise _Reached
            take(records_of(record.body))

        offset = "first" if since is None else datetime.fromtimestamp(since, UTC)
        try:
            with translated(self.link.endpoint):
                try:
                    async with reading(self.link, self.name, offset, took) as ended:
                        # Only now: with a clock ahead of the broker's, reading begins behind all that is there already.
                        await self.mark(marker)
                        while not ended.done() and (silence := last + SILENCE - loop.time()) > 0:
                            await asyncio.wait({ended}, timeout=silence)
                        if ended.done():
                            ended.result()
                except ChannelNotFoundEntity:
                    return
        except _Reached:
            return
        raise SourceUnavailable(f"{self.link.endpoint.shown}: stream {self.name!r} stopped before its end was read")

    def _messages(self, records: Sequence[JsonRecord]) -> list[Outgoing]:
        return [Outgoing("", self.name, body, {}) for body in bodies(records, self._sender.most)]

    async def _put(self, messages: Sequence[Outgoing]) -> None:
        try:
            await self._sender.send(messages)
        except Unroutable as error:
            await self.ensure()
            await self._sender.send(error.messages)
