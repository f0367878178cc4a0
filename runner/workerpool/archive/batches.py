"""Messages gathered into objects of one line each (NDJSON); a message ends when its object is confirmed.

A batch is sealed by the first of three limits: messages, seconds since its first message, bytes. Its lines are in the
order of the jobs' ids and its id is made from those, so that a batch which is sent again after a lost answer, or made
again of the same jobs, replaces its object instead of adding one.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from workerpool.errors import TerminalError

ID_CHARACTERS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message: its job's ``id``, the ``line`` without an end, ``ready_at`` (seconds since the epoch)."""

    id: int
    line: bytes
    ready_at: float
    stored: "asyncio.Future[None]" = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of one batch: ``messages``, ``seconds`` since its first message, ``size`` in bytes."""

    messages: int
    seconds: float
    size: int


def as_line(payload: str) -> bytes:
    """JSON text on one line. A raw line break in JSON is white space: in text it must be escaped."""
    return payload.replace("\r", " ").replace("\n", " ").encode()


def batch_id(queue: str, messages: Sequence[Message]) -> str:
    """The same for the same jobs of a queue, in whatever order they came."""
    digest = hashlib.sha256(queue.encode())
    for message in sorted(messages, key=lambda it: it.id):
        digest.update(b"\0%d" % message.id)
    return digest.hexdigest()[:ID_CHARACTERS]


class Batcher:
    """Gathers messages and hands batches to ``deliver``, which returns once the object is confirmed."""

    def __init__(self, limits: BatchLimits, deliver: Callable[[Sequence[Message]], Awaitable[None]]) -> None:
        self._limits = limits
        self._deliver = deliver
        self._open: list[Message] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._closing = False

    async def add(self, job_id: int, line: bytes, ready_at: float) -> None:
        """Returns when the message is stored; raises what ``deliver`` raised for its batch."""
        if self._open and self._size + len(line) + 1 > self._limits.size:
            self.flush()
        loop = asyncio.get_running_loop()
        message = Message(job_id, line, ready_at, loop.create_future())
        self._open.append(message)
        self._size += len(line) + 1
        if len(self._open) >= self._limits.messages or self._size >= self._limits.size or self._closing:
            self.flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._limits.seconds, self.flush)
        try:
            await message.stored
        finally:
            # A job that was cut off before its batch was sealed belongs to somebody else now.
            if message in self._open:
                self._open.remove(message)
                self._size -= len(line) + 1

    def flush(self) -> None:
        """Seals the open batch and begins to deliver it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._open:
            return
        messages, self._open, self._size = sorted(self._open, key=lambda it: it.id), [], 0
        task = asyncio.create_task(self._send(messages), name="archive batch")
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    def drain(self) -> None:
        """No message waits for others any more."""
        self._closing = True
        self.flush()

    async def close(self) -> None:
        """Ends deliveries that nobody waits for any more."""
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    async def _send(self, messages: Sequence[Message]) -> None:
        try:
            await self._deliver(messages)
        except TerminalError as error:
            if len(messages) == 1:
                _fail(messages, error)
                return
            # Together they may be too much for the server where each of them is not.
            middle = len(messages) // 2
            await self._send(messages[:middle])
            await self._send(messages[middle:])
        except Exception as error:  # noqa: BLE001 - the handlers that wait for it must not wait for ever
            _fail(messages, error)
        except asyncio.CancelledError:
            for message in messages:
                message.stored.cancel()
            raise
        else:
            for message in messages:
                if not message.stored.done():
                    message.stored.set_result(None)


def _fail(messages: Sequence[Message], error: Exception) -> None:
    for message in messages:
        if not message.stored.done():
            message.stored.set_exception(error)
