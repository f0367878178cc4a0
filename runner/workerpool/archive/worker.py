"""The archive put together: a worker definition, and what its runner opens, watches and closes for it."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from workerpool.archive.batches import Batcher, Message, as_line, batch_id
from workerpool.archive.circuit import REMIND, Circuit
from workerpool.archive.counts import ArchiveCounts
from workerpool.archive.keys import require
from workerpool.archive.plan import ArchivePlan
from workerpool.archive.store import Store
from workerpool.context import JobContext
from workerpool.definition import Origin, WorkerDefinition
from workerpool.errors import HandBack, InvalidPayload
from workerpool.jsontext import JSON_WORDS
from workerpool.probes import Check

log = logging.getLogger("workerpool.archive")

NAME: Final = "s3-archive"
"""What the worker is called, on the command line and in manifests."""


class Archive:
    """The worker ``s3-archive`` and its storage (see `workerpool.extension.Extension`).

    ``clock``: the loop's monotonic seconds; ``wall``: seconds since the epoch.
    """

    def __init__(self, plan: ArchivePlan, *, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._plan = plan
        self._clock = clock
        self._wall = wall
        self.counts = ArchiveCounts()
        self._store = Store(plan.settings, plan.bucket, plan.concurrency, clock)
        self._circuit = Circuit(clock, plan.hold, self.counts.failed)
        self._batcher = Batcher(plan.batch, self._store_batch) if plan.batch else None
        self._greeting: asyncio.Task[None] | None = None
        self._told_at = float("-inf")

    @property
    def definition(self) -> WorkerDefinition:
        """The worker, for a runner or a TestBroker."""
        handler = self._archive if self._batcher is None else self._archive_in_batch
        code = handler.__code__
        return WorkerDefinition(
            name=NAME,
            topic=self._plan.topic,
            group_id=self._plan.group,
            handler=handler,
            origin=Origin(code.co_filename, code.co_firstlineno, __name__),
            concurrency=self._plan.concurrency,
        )

    async def open(self) -> None:
        """Makes the client and looks for the bucket in the background. Raises ConfigError."""
        await self._store.open()
        log.info("Archiving to bucket %s on %s: %s", self._plan.bucket, self._store.shown, self._plan.described)
        self._greeting = asyncio.create_task(self._greet(), name="archive greeting")

    def drain(self) -> None:
        """Batches are sealed now; jobs that wait for a storage that is away go back."""
        if self._batcher is not None:
            self._batcher.drain()
        self._circuit.close()

    async def close(self) -> None:
        """Ends the client."""
        if self._greeting is not None:
            self._greeting.cancel()
            await asyncio.gather(self._greeting, return_exceptions=True)
        if self._batcher is not None:
            await self._batcher.close()
        await self._store.close()

    def checks(self) -> Mapping[str, Check]:
        """Whether the storage takes objects, and why not."""
        fault = self._circuit.fault
        return {"storage": Check(fault is None, {"detail": fault.words if fault else ""})}

    def metrics_text(self) -> str:
        """Uploads, bytes and failures."""
        return self.counts.text(is_up=self._circuit.is_up)

    async def _archive(self, payload: Any, ctx: JobContext) -> None:  # noqa: ANN401 - any JSON
        """One object per message: the very bytes of it."""
        fields = _fields(payload)
        require(fields, self._plan.required)
        key = self._plan.template.key(fields)
        await self._upload(key, ctx.job.payload.encode(), 1)

    async def _archive_in_batch(self, payload: Any, ctx: JobContext) -> None:  # noqa: ANN401 - any JSON
        """One line per message; returns when the object that holds the line is confirmed."""
        require(_fields(payload), self._plan.required)
        assert self._batcher is not None
        job = ctx.job
        await self._batcher.add(job.id, as_line(job.payload), self._wall() - job.waited)

    async def _store_batch(self, messages: Sequence[Message]) -> None:
        first = datetime.fromtimestamp(messages[0].ready_at, UTC)
        key = self._plan.batch_template.key(
            {
                "queue": self._plan.queue,
                "date": first.strftime("%Y-%m-%d"),
                "hour": first.strftime("%H"),
                "batch_id": batch_id(self._plan.queue, messages),
            }
        )
        body = b"".join(line + b"\n" for line in (message.line for message in messages))
        await self._upload(key, body, len(messages))

    async def _upload(self, key: str, body: bytes, messages: int) -> None:
        """Returns once the server has confirmed the object. Raises HandBack, RetryableError, TerminalError."""
        try:
            seconds = await self._circuit.run(partial(self._put, key, body))
        except HandBack as error:
            self._tell(error)
            raise
        self.counts.stored(messages, len(body), seconds)
        log.debug("Stored %s: %d bytes, %d messages, %.3f s", key, len(body), messages, seconds)

    def _tell(self, error: HandBack) -> None:
        """Not for each of them: they go by the dozen."""
        now = self._clock()
        if now - self._told_at > REMIND:
            self._told_at = now
            log.info("Messages that waited are handed back, lose no attempt and come next: %s", error)

    async def _put(self, key: str, body: bytes) -> float:
        if not self._store.has_bucket:
            await self._store.ensure_bucket()
        return await self._store.put(key, body, self._plan.content_type)

    async def _greet(self) -> None:
        """Finds out before the first message whether the storage can be used; ends at a drain.

        A closed circuit refuses without a pause: whoever asked it again would keep the loop for ever.
        """
        while not (self._store.has_bucket or self._circuit.closed):
            try:
                await self._circuit.run(self._store.ensure_bucket)
            except HandBack:
                continue


def _fields(payload: object) -> dict[str, Any]:
    """The top-level fields of a message. Raises InvalidPayload for JSON that has none."""
    if isinstance(payload, dict):
        return payload
    raise InvalidPayload(f"the payload is {JSON_WORDS[type(payload)]}, but {NAME} takes JSON objects, {{…}}; send one")
