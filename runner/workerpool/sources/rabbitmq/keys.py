"""Unique keys on a broker: at most one unfinished job per queue and key.

A key is a queue that exists for as long as the job is unfinished. Its declaration carries the job's id as the argument
``x-max-length-bytes``, a limit that the queue never comes near: declaring it either creates it, and the key is ours, or
fails because the arguments differ, and the broker's answer (406) says whose job has it. That is one atomic step.

A message in the queue says that the job itself is on the broker. A key without one was left behind by a publisher that
died between the two, or is about to get it; after ``ABANDONED`` seconds it is taken over.
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from workerpool.errors import SourceError, SourceUnavailable
from workerpool.sources.rabbitmq.faults import reason, translated
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool_contract.rabbitmq import key_queue

log = logging.getLogger("workerpool.rabbitmq")

HOLDER: Final = "x-max-length-bytes"
EXPIRY: Final = "x-expires"
DAY: Final = 86_400_000
"""Milliseconds."""
KEPT_DAYS: Final = 7
"""Days that the key of a job is kept after it was to start, if nothing else ends it."""
LONGEST: Final = 49 * DAY
"""What RabbitMQ takes as an expiry is just above this; what is delayed for longer has a key that never expires."""
ABANDONED: Final = 15.0
"""Seconds: longer than a publish may take to be confirmed."""
LOOK: Final = 0.02
"""Seconds between two looks at a key that is being taken by somebody else."""
TRIES: Final = 5
FREE_TIMEOUT: Final = 10.0
"""Seconds that freeing one key may take."""

_DIFFERENT = re.compile(r"inequivalent arg '(?P<name>[^']+)'.* current is (?:the value )?'?(?P<value>none|\d+)")


class Request(NamedTuple):
    """The key ``key`` of ``queue`` is wanted for job ``id``, which is to start in ``delay`` seconds."""

    queue: str
    key: str
    id: int
    delay: float = 0.0


class Keys:
    """The keys of a virtual host. Raises SourceUnavailable, SourceError."""

    def __init__(self, link: Link) -> None:
        """``link``: an open one."""
        self._link = link

    async def claim(self, requests: Sequence[Request]) -> list[int | None]:
        """For each request None when the key is now this job's, else the id of the job that has it.

        Of equal keys in one call the first wins. Whoever gets a key publishes its ``marker`` behind the job.
        """
        first: dict[str, Request] = {}
        for it in requests:
            first.setdefault(key_queue(it.queue, it.key), it)
        # One order for all: two publishers that want the same two keys must not wait for each other.
        owners = await self._claim_all(sorted(first.items()))
        answers: list[int | None] = []
        for it in requests:
            name = key_queue(it.queue, it.key)
            owner = owners[name] if first[name] is it else owners[name] or first[name].id
            answers.append(owner)
        return answers

    async def release(self, held: Iterable[tuple[str, str, int]]) -> None:
        """Frees keys, each given as queue, key and id of the job that had it. Another job's is left alone.

        A key that the broker doesn't let go of is logged: it expires, and the job is done all the same. Raises
        SourceUnavailable only when the connection is lost.
        """
        for queue, key, id_ in held:
            try:
                async with asyncio.timeout(FREE_TIMEOUT):
                    with translated(self._link.endpoint):
                        await self._free(key_queue(queue, key), Request(queue, key, id_))
            except SourceUnavailable:
                raise
            except (SourceError, TimeoutError) as error:
                log.warning("The unique key of job %d of %s stays until it expires: %s", id_, queue, reason(error))

    async def _free(self, name: str, request: Request) -> None:
        if await self._holder(name, request) is None:
            async with self._link.scratch() as channel:
                await channel.queue_delete(name)

    async def _claim_all(self, wanted: Sequence[tuple[str, Request]]) -> dict[str, int | None]:
        owners: dict[str, int | None] = {}
        left = list(reversed(wanted))
        while left:
            try:
                async with self._link.scratch() as channel:
                    while left:
                        name, request = left[-1]
                        await _declare(channel, name, request.id, expiry(request.delay))
                        owners[name] = None
                        left.pop()
            except ChannelPreconditionFailed:
                name, request = left.pop()
                owners[name] = await self._contend(name, request)
        return owners

    async def _contend(self, name: str, request: Request) -> int | None:
        """A key that somebody has: whose it is, or None when it became this job's after all."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while (holder := await self._holder(name, request)) is not None:
            if await self._is_marked(name):
                return holder
            if loop.time() - start > ABANDONED:
                await self._discard(name)
            else:
                await asyncio.sleep(LOOK)
        return None

    async def _holder(self, name: str, request: Request) -> int | None:
        """Declares the key for this job: None, or the id of the other job that has it."""
        lifetime = expiry(request.delay)
        for _ in range(TRIES):
            try:
                async with self._link.scratch() as channel:
                    await _declare(channel, name, request.id, lifetime)
                return None
            except ChannelPreconditionFailed as error:
                found = _DIFFERENT.search(str(error))
                if found is None:
                    raise SourceError(f"the key of a job can't be read from the broker's answer: {error}") from None
                value = None if found["value"] == "none" else int(found["value"])
                if found["name"] == HOLDER:
                    return value
                lifetime = value
        raise SourceError(f"queue {name!r} is no key of this project; delete it, or use another unique key")

    async def _is_marked(self, name: str) -> bool:
        """Whether the job of a key is on the broker; False as well when the key is gone meanwhile."""
        try:
            async with self._link.scratch() as channel:
                found = await channel.queue_declare(name, passive=True)
        except ChannelNotFoundEntity:
            return False
        return bool(found.message_count)

    async def _discard(self, name: str) -> None:
        """Deletes a key that still has no mark."""
        try:
            async with self._link.scratch() as channel:
                await channel.queue_delete(name, if_empty=True)
        except ChannelPreconditionFailed:
            return


def marker(queue: str, key: str, id_: int) -> Outgoing:
    """The message that says that job ``id_`` of a key is on the broker."""
    body = json.dumps({"queue": queue, "id": id_}).encode()
    # Not mandatory: the job may be done, and its key gone, before this arrives.
    return Outgoing("", key_queue(queue, key), body, {}, mandatory=False)


def expiry(delay: float) -> int | None:
    """Milliseconds that a key is kept for a job that is to start in ``delay`` seconds; None: for ever."""
    days = max(1, math.ceil(delay * 1000 / DAY))
    kept = (days + KEPT_DAYS) * DAY
    return kept if kept <= LONGEST else None


async def _declare(channel: AbstractChannel, name: str, id_: int, lifetime: int | None) -> None:
    arguments: dict[str, Any] = {"x-queue-type": "classic", HOLDER: id_}
    if lifetime is not None:
        arguments[EXPIRY] = lifetime
    await channel.queue_declare(name, durable=True, arguments=arguments)
