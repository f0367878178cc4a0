"""Sending jobs from anywhere: ``get_producer()`` or, for a single message, ``publish``.

Payloads are anything that JSON can say (pydantic models, datetimes and UUIDs included); they are checked here, before
anything is sent.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple, Self, TypeVar, Unpack

from workerpool.engines import EngineOptions, open_publisher
from workerpool.errors import ConfigError, PayloadError
from workerpool.jsontext import write_json
from workerpool.sources.base import Enqueued, JobOptions, NewJob, Publisher, SendOptions
from workerpool.telemetry import trace_headers
from workerpool_contract.environment import VARIABLES, RunnerSettings, SettingsError, from_environment
from workerpool_contract.names import ENV_URL

T = TypeVar("T")

DEFAULT_MAX_PAYLOAD: Final = RunnerSettings().max_payload
SETTINGS_READ: Final = frozenset(
    name
    for variable in VARIABLES
    if variable.field in ("url", "postgres_mode", "max_payload") or variable.field.startswith("rabbitmq_")
    for name in (variable.name, *(alias.name for alias in variable.aliases))
)
"""The variables that say how to send. The rest is none of a web app's business, whose LOG_FORMAT may be its own."""
MAX_PRIORITY = 100
MAX_QUEUE_NAME = 255


@dataclass(slots=True)
class Producer:
    """Puts jobs on queues of one engine. Safe to share between tasks of one loop; ``async with`` closes it.

    ``max_payload``: bytes of JSON that one payload may have. ``loop``: where the publisher lives, so that handlers in
    threads, which have loops of their own, may use it too; None when it is used in one loop only.
    """

    publisher: Publisher
    max_payload: int = DEFAULT_MAX_PAYLOAD
    headers: dict[str, str] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop | None = None

    async def send(  # noqa: PLR0913 - one keyword per option of a job is the interface
        self,
        queue: str,
        payload: Any,  # noqa: ANN401 - whatever JSON can say
        *,
        priority: int = 0,
        delay: float | timedelta = 0,
        expires_in: float | timedelta | None = None,
        unique_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        connection: Any = None,  # noqa: ANN401 - asyncpg's or psycopg's
    ) -> Enqueued:
        """Enqueues one job; durable when it returns.

        ``delay`` and ``expires_in``: seconds from now. ``unique_key``: nothing is added while an unfinished job of the
        queue has this key. ``connection``: enqueue inside the caller's transaction on it (asyncpg or psycopg; a broker
        has no part in it and refuses).
        Raises PayloadError, ConfigError, SourceUnavailable, SchemaError.
        """
        job = self.job(
            payload, priority=priority, delay=delay, expires_in=expires_in, unique_key=unique_key, headers=headers
        )
        check_queue(queue)
        if connection is not None:
            self._enlist()
            from workerpool.sources.postgres.publisher import enqueue_on

            return await enqueue_on(connection, queue, job)
        return (await self._in_loop(self.publisher.enqueue(queue, [job])))[0]

    async def enqueue_many(
        self,
        queue: str,
        payloads: Iterable[Any],
        *,
        priority: int = 0,
        connection: Any = None,  # noqa: ANN401 - as send
    ) -> list[Enqueued]:
        """Enqueues one job per payload; returns their ids in order. All or none, but on RabbitMQ: see ``enqueue_jobs``.

        ``connection`` and errors as ``send``.
        """
        jobs = [self.job(payload, priority=priority) for payload in payloads]
        return await self.enqueue_jobs(queue, jobs, connection=connection)

    async def enqueue_jobs(
        self,
        queue: str,
        jobs: Sequence[NewJob],
        *,
        connection: Any = None,  # noqa: ANN401 - as send
    ) -> list[Enqueued]:
        """Enqueues prepared jobs (see ``job``), all or none. ``connection`` and errors as ``send``.

        RabbitMQ has no transactions: when this raises, some of the jobs may be there, and trying again adds them twice
        (a ``unique_key`` each prevents that).
        """
        check_queue(queue)
        if connection is not None:
            self._enlist()
            from workerpool.sources.postgres.publisher import enqueue_many_on

            return await enqueue_many_on(connection, queue, jobs)
        return await self._in_loop(self.publisher.enqueue(queue, jobs))

    async def enqueue_bulk(
        self,
        queue: str,
        payloads: Iterable[Any],
        *,
        connection: Any = None,  # noqa: ANN401 - as send
    ) -> int:
        """Enqueues plain jobs by the engine's fastest way and returns how many; all or none as for ``enqueue_jobs``.

        ``connection`` and errors as ``send``.
        """
        check_queue(queue)
        texts = [self.encode(payload) for payload in payloads]
        if connection is not None:
            self._enlist()
            from workerpool.sources.postgres.publisher import enqueue_bulk_on

            return await enqueue_bulk_on(connection, queue, texts)
        bulk = getattr(self.publisher, "enqueue_bulk", None)
        if bulk is not None:
            return int(await self._in_loop(bulk(queue, texts)))
        return len(await self._in_loop(self.publisher.enqueue(queue, [NewJob(text) for text in texts])))

    def job(self, payload: Any, **options: Unpack[JobOptions]) -> NewJob:  # noqa: ANN401 - as send
        """A checked job, not sent yet; ``options`` as ``send``. Raises PayloadError, ConfigError."""
        options["headers"] = {**self.headers, **(options.get("headers") or {})}
        return make_job(self.encode(payload), **options)

    def encode(self, payload: Any) -> str:  # noqa: ANN401 - as send
        """The payload as JSON text. Raises PayloadError when it has none (NaN hasn't) or is too large."""
        data = write_json(payload, "the payload", "send")
        check_size(len(data), self.max_payload)
        return data.decode()

    async def close(self) -> None:
        """Gives back the connection."""
        await self._in_loop(self.publisher.close())

    def _enlist(self) -> None:
        """Raises ConfigError where the engine has no part in database transactions."""
        if self.publisher.outside_transactions is not None:
            raise ConfigError(f"connection: {self.publisher.outside_transactions}")

    async def _in_loop(self, call: Coroutine[Any, Any, T]) -> T:
        if self.loop is None or asyncio.get_running_loop() is self.loop:
            return await call
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self.loop))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_current: Producer | None = None


class _Shared(NamedTuple):
    """A loop's producer for one target. ``closer`` closes it when the loop shuts down its asynchronous generators."""

    producer: Producer
    closer: AsyncGenerator[None, None]


_Target = tuple[str, EngineOptions, int]
"""URL, what it doesn't say, and the largest payload."""

_shared: dict[asyncio.AbstractEventLoop, dict[_Target, _Shared]] = {}


def get_producer(url: str | None = None, *, max_payload: int | None = None, pooled: bool | None = None) -> Producer:
    """A producer. Inside a runner and without ``url``: the runner's own. Elsewhere ``url`` or the environment decides.

    Without ``url``, all calls in one event loop share one producer and its connection: call it per request. It closes
    with the loop under ``asyncio.run``; ``close`` does so earlier, and the next use opens it again. With ``url``, or
    where no loop runs, each call makes a producer that the caller closes.

    Read from the environment: WORKERPOOL_URL, DATABASE_URL or RABBITMQ_URL, or the parts WORKERPOOL_RABBITMQ_*;
    WORKERPOOL_POSTGRES_MODE (unless ``pooled`` is given) and WORKERPOOL_MAX_PAYLOAD_BYTES (unless ``max_payload`` is).
    Raises ConfigError for one that can't be used, or when nothing names an engine.
    """
    if url is None and _current is not None:
        return _current
    found = _settings()
    options = EngineOptions.of(found)
    target = (
        url or found.effective_url or "",
        options if pooled is None else replace(options, pooled=pooled),
        found.max_payload if max_payload is None else max_payload,
    )
    if not target[0]:
        raise ConfigError(
            f"url: no queue is named; pass get_producer(url=…) or set {ENV_URL}=postgresql://… or amqp://…"
        )
    return _open(target) if url else _shared_producer(target)


def use_producer(producer: Producer | None) -> None:
    """Makes ``producer`` what ``get_producer()`` returns in this process (runners and tests do, in their loop)."""
    global _current  # noqa: PLW0603 - one per process is the point
    if producer is not None:
        producer.loop = asyncio.get_running_loop()
    _current = producer


async def publish(topic: str, payload: Any, **options: Unpack[SendOptions]) -> Enqueued:  # noqa: ANN401 - as send
    """Sends one message by the producer of ``get_producer()``; ``options`` and errors as ``Producer.send``."""
    return await get_producer().send(topic, payload, **options)


def _settings() -> RunnerSettings:
    try:
        return from_environment({name: os.environ[name] for name in SETTINGS_READ if name in os.environ})
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def _open(target: _Target) -> Producer:
    url, options, max_payload = target
    return Producer(open_publisher(url, options), max_payload)


def _shared_producer(target: _Target) -> Producer:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _open(target)
    # A weak key would not do: a connection refers to its loop.
    for ended in [other for other in list(_shared) if other.is_closed()]:
        _shared.pop(ended, None)
    known = _shared.setdefault(loop, {})
    if target not in known:
        producer = _open(target)
        producer.loop = loop
        known[target] = _Shared(producer, _closer(producer, loop))
        # The first step makes the generator known to the loop; it waits for nothing.
        with suppress(StopIteration):
            known[target].closer.__anext__().send(None)
    return known[target].producer


async def _closer(producer: Producer, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _shared.pop(loop, None)
        await producer.close()


def make_job(
    text: str,
    *,
    priority: int = 0,
    delay: float | timedelta = 0,
    expires_in: float | timedelta | None = None,
    unique_key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> NewJob:
    """A job of checked JSON ``text``, with the trace of whoever calls in its headers. Raises ConfigError."""
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise ConfigError(f"priority: {priority} is outside -{MAX_PRIORITY} to {MAX_PRIORITY}; higher runs first")
    all_headers = {**trace_headers(), **(headers or {})}
    return NewJob(
        text,
        priority,
        _seconds("delay", delay),
        None if expires_in is None else _seconds("expires_in", expires_in),
        unique_key,
        json.dumps(all_headers) if all_headers else None,
    )


def check_queue(queue: str) -> None:
    """Raises ConfigError for a name that no engine could take."""
    if not queue or len(queue) > MAX_QUEUE_NAME or not queue.isprintable():
        raise ConfigError(f"queue: {queue[:80]!r} is no queue name; use 1 to {MAX_QUEUE_NAME} printable characters")


def check_size(size: int, limit: int) -> None:
    """Raises PayloadError for a payload of ``size`` bytes over ``limit``."""
    if size > limit:
        raise PayloadError(
            f"payload: {size} bytes are over the limit of {limit}; store the data elsewhere and send a reference, "
            "or raise WORKERPOOL_MAX_PAYLOAD_BYTES"
        )


def _seconds(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 <= seconds < 10 * 366 * 86400:
        raise ConfigError(f"{name}: {value!r} is not a number of seconds from 0; use for example {name}=30")
    return seconds
