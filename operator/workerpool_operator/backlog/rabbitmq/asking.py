"""A broker, asked by AMQP on one connection: what each queue says of itself, and what runners report.

A lost connection is opened again by the next question. Passive declarations change nothing; one of a queue that does
not exist costs the channel, so such a queue is not asked for again at once.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPChannelError, AMQPError, ChannelNotFoundEntity

from workerpool_contract.amqp import AmqpParts
from workerpool_contract.backlog import Unknown
from workerpool_operator.backlog.rabbitmq.hearing import Hearing
from workerpool_operator.backlog.rabbitmq.merge import Answer, Declared, Missing
from workerpool_operator.backlog.rabbitmq.reports import Report
from workerpool_operator.backlog.rabbitmq.wire import CLOSED, Wire, connect, reason_of

AT_ONCE: Final = 8
"""Channels that ask at the same time."""
PER_CHANNEL: Final = 8
"""Queues for which one channel is enough."""
ASK_AGAIN: Final = 10.0
"""Seconds for which a queue that did not exist is taken not to exist."""
PER_QUEUE: Final = 0.02
"""Seconds that one more queue may take."""


class Asking:
    """Asks one vhost of a broker. Belongs to one loop and is used from one task at a time.

    ``origin``: who named the broker, for words; empty when that were the fields of a manifest.
    """

    def __init__(
        self,
        parts: AmqpParts,
        authority: str | None,
        *,
        report: Callable[[Report], None],
        lost: Callable[[], None],
        timeout: float = 5.0,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects nowhere yet. ``authority``: PEM text. ``lost``: told when the connection ends by itself."""
        self.broker = f"RabbitMQ at {parts.bracketed}:{parts.effective_port}, vhost {parts.vhost}"
        self._parts = parts
        self._authority = authority
        self._lost = lost
        self.origin = ""
        self._timeout = timeout
        self._steady = steady
        self._wire: Wire | None = None
        self._failure = ""
        self._channels: list[AbstractChannel] = []
        self._missing: dict[str, float] = {}
        self._hearing = Hearing(report)

    @property
    def deaf(self) -> str:
        """Why reports of runners are not heard; empty while they are."""
        if self._wire is None or not self._wire.is_open:
            return self._failure or f"{self.broker} is not connected"
        return self._hearing.deaf

    async def answers(self, names: Sequence[str], *, always: frozenset[str]) -> dict[str, Answer] | Unknown:
        """What each queue says. Those in ``always`` are asked even if they did not exist a moment ago."""
        now = self._steady()
        self._missing = {name: until for name, until in self._missing.items() if until > now and name not in always}
        found: dict[str, Answer] = {name: Missing() for name in names if name in self._missing}
        try:
            async with asyncio.timeout(self._timeout + PER_QUEUE * len(names)):
                wire = await self._connected()
                await self._hearing.start(wire)
                await self._ask_all(wire, [name for name in names if name not in found], found)
        except (AMQPError, OSError, RuntimeError) as error:
            return await self._failed(reason_of(error, self.origin))
        except asyncio.CancelledError:
            # The library cancels calls under way on a connection that ends.
            failure = await self._failed(CLOSED)
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return failure
        return found

    async def _failed(self, words: str) -> Unknown:
        await self.close()
        self._failure = f"{self.broker} {words}"
        return Unknown(self._failure)

    async def close(self) -> None:
        """Closes the connection; ``lost`` is not told."""
        wire, self._wire = self._wire, None
        self._channels.clear()
        self._hearing.stop()
        if wire is not None:
            await wire.close()

    async def _connected(self) -> Wire:
        if self._wire is not None and self._wire.is_open:
            return self._wire
        await self.close()
        wire = await connect(self._parts, self._authority)
        self._wire = wire
        wire.on_end(lambda: self._ended(wire))
        return wire

    def _ended(self, wire: Wire) -> None:
        if self._wire is wire:
            self._lost()

    async def _ask_all(self, wire: Wire, names: Sequence[str], found: dict[str, Answer]) -> None:
        """Asks on several channels, each of which takes the next name from the same list."""
        waiting = iter(names)
        wanted = min(AT_ONCE, -(-len(names) // PER_CHANNEL))
        self._channels = [channel for channel in self._channels if not channel.is_closed]
        while len(self._channels) < wanted:
            self._channels.append(await wire.channel())
        asked = (self._ask(wire, channel, waiting, found) for channel in self._channels[:wanted])
        for failure in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(failure, asyncio.CancelledError):
                raise ConnectionError("the connection ended")
            if failure is not None:
                raise failure

    async def _ask(self, wire: Wire, channel: AbstractChannel, names: Iterator[str], found: dict[str, Answer]) -> None:
        for name in names:
            if channel.is_closed:
                channel = await wire.channel()
                self._channels.append(channel)
            found[name] = await self._answer(channel, name)

    async def _answer(self, channel: AbstractChannel, name: str) -> Answer:
        try:
            said = await channel.queue_declare(name, passive=True)
        except ChannelNotFoundEntity:
            self._missing[name] = self._steady() + ASK_AGAIN
            return Missing()
        except AMQPChannelError as error:
            return Unknown(f"{self.broker} does not tell of queue {name}: {reason_of(error)}")
        except ValueError:
            # The library refuses names that a broker would take; it has not sent anything.
            cure = "name it with ASCII letters, digits and -_.:@#,/+ only"
            return Unknown(f"queue {name} can't be asked for by AMQP; {cure}")
        return Declared(_number(said.message_count), _number(said.consumer_count))


def _number(value: Any) -> int:  # noqa: ANN401 - typed as optional by the library
    return int(value or 0)
