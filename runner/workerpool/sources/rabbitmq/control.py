"""The ear of a runner: cancellations and questions that concern all runners of a virtual host."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPError

from workerpool.errors import SourceError
from workerpool.sources.rabbitmq.link import Link
from workerpool_contract.rabbitmq import CONTROL
from workerpool_contract.runnerreport import Control, ReportError, read_control

log = logging.getLogger("workerpool.rabbitmq")

Heard = Callable[[Control, str | None, str | None], Awaitable[None]]
"""Given a message, the queue that waits for an answer (or None) and the id that the answer has to carry."""

PAUSE = 1.0
"""Seconds between two tries to listen."""


@dataclass(slots=True)
class Ear:
    """Listens on the control exchange for as long as the link lives. ``heard`` is awaited message by message."""

    link: Link
    heard: Heard
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def run(self) -> None:
        """Until cancelled."""
        never = asyncio.Event()
        while True:
            try:
                await self._listen()
            except (SourceError, AMQPError) as error:
                log.debug("not listening for control messages: %s", error)
            self.listening.clear()
            try:
                async with asyncio.timeout(PAUSE):
                    await never.wait()
            except TimeoutError:
                continue

    async def _listen(self) -> None:
        async with self.link.scratch() as channel:
            declared = await channel.queue_declare("", exclusive=True, auto_delete=True)
            queue = declared.queue or ""
            await channel.queue_bind(queue, CONTROL)
            await channel.basic_consume(queue, self._deliver, no_ack=True)
            self.listening.set()
            await _ended(channel)

    async def _deliver(self, message: DeliveredMessage) -> None:
        properties = message.header.properties
        try:
            control = read_control(message.body)
        except ReportError as error:
            log.warning("A control message is passed over: %s", error)
            return
        try:
            await self.heard(control, properties.reply_to, properties.correlation_id)
        except SourceError as error:
            log.warning("A control message could not be carried out: %s", error)


async def _ended(channel: AbstractChannel) -> None:
    closing: Sequence[asyncio.Future[object]] = [channel.closing]
    await asyncio.wait(closing)
