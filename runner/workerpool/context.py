"""What a handler may ask of its surroundings while it runs: facts about the job, progress, a folder, steps."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, Unpack

from pydantic_core import from_json

from workerpool.errors import ConfigError, LeaseLost
from workerpool.jsontext import write_json
from workerpool.logs import bound
from workerpool.outcome import SUCCEEDED, Succeeded
from workerpool.sources.base import Enqueued, Job, SendOptions, Settlement

T = TypeVar("T")
Publish = Callable[..., Coroutine[Any, Any, Enqueued]]
"""``workerpool.publish``, or what a test puts in its place."""

LOGGER: Final = logging.getLogger("workerpool.job")
FULL: Final = 100


class ProgressSink(Protocol):
    """The one thing that a context needs of a source (every JobSource has it)."""

    async def progress(self, job: Job, state: str, percent: int | None, data: str | None) -> None:
        """Records an event of a running job. Raises LeaseLost when the attempt no longer owns it."""
        ...


class StepTracer(Protocol):
    """Opens a span around a step of a handler; None in its place costs nothing."""

    def step(self, name: str) -> AbstractContextManager[object]:
        """A span called ``name`` under the job's own."""
        ...


class JobContext:
    """Given to handlers that ask for it by a second parameter. One per attempt, useless once the attempt is over.

    ``attempt`` counts from 1. In sync handlers call ``ctx.blocking.update(…)`` and so on: the same words, without
    ``await``. All calls are idempotent and raise LeaseLost once the attempt no longer owns the job.
    """

    def __init__(  # noqa: PLR0913 - built by the pipeline alone
        self,
        job: Job,
        *,
        worker: str,
        max_retries: int,
        sink: ProgressSink,
        temp_root: Path | None = None,
        tracer: StepTracer | None = None,
        succeed: Callable[[object], Succeeded] = lambda _result: SUCCEEDED,
        publish: Publish | None = None,
    ) -> None:
        """``temp_root``: folder for temporary folders, None for the system's. ``succeed``: the outcome with a result.

        ``publish``: sends a message; None where nothing can be sent. Must be called in the runner's loop.
        """
        self.job_id = job.id
        self.queue = job.queue
        self.worker = worker
        self.attempt = job.attempts + 1
        self.max_retries = max_retries
        self.job = job
        self._sink = sink
        self._temp_root = temp_root
        self._temp_dir: Path | None = None
        self._tracer = tracer
        self._succeed = succeed
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._over = False
        self.cancelled = False
        self.settled = False
        self.failure: str | None = None
        self.result: object = None

    @cached_property
    def headers(self) -> Mapping[str, Any]:
        """The job's headers; empty when it has none."""
        return from_json(self.job.headers) if self.job.headers else {}

    @cached_property
    def payload(self) -> Any:  # noqa: ANN401 - JSON
        """The payload as it was enqueued, before any schema."""
        return from_json(self.job.payload)

    @property
    def logger(self) -> logging.Logger:
        """The logger ``workerpool.job``; records of any logger used in a handler name the job, worker and step."""
        return LOGGER

    @cached_property
    def blocking(self) -> "BlockingContext":
        """The same calls for sync handlers, which can't await."""
        return BlockingContext(self)

    @property
    def temp_dir(self) -> Path:
        """A folder of this attempt alone, made at the first use and removed when the attempt is over."""
        if self._temp_dir is None:
            self._require_running()
            self._temp_dir = Path(tempfile.mkdtemp(prefix=f"job-{self.job_id}-", dir=self._temp_root))
        return self._temp_dir

    async def start(self, state: str) -> None:
        """Records that work has begun: ``state`` at 0 %."""
        await self.update(state, 0)

    async def update(self, state: str, progress: int | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        """Records where the job is: ``state`` in words, ``progress`` from 0 to 100, ``metadata`` that JSON can hold."""
        self._require_running()
        if not state:
            raise ConfigError("state is empty; say in a word what the job is doing")
        if progress is not None and not (type(progress) is int and 0 <= progress <= FULL):
            raise ConfigError(f"progress: {progress!r} is not a whole number from 0 to 100; use None when unknown")
        data = None if metadata is None else write_json(metadata, "metadata", "pass").decode()
        await self._in_loop(self._sink.progress(self.job, state, progress, data))

    async def complete(self, state: str, result: object = None) -> None:
        """Records ``state`` at 100 % and keeps ``result`` as the job's result if the handler then returns None."""
        await self.update(state, FULL)
        self.result = result

    async def publish(self, topic: str, payload: Any, **options: Unpack[SendOptions]) -> Enqueued:  # noqa: ANN401 - JSON
        """Sends one message, durable when it returns, whatever becomes of this job; ``options`` as ``Producer.send``.

        Raises LeaseLost once the attempt is over, else as ``Producer.send``.
        """
        self._require_running()
        if self._publish is None:
            raise ConfigError("publish: this context belongs to no runner; call the handler through TestBroker")
        return await self._publish(topic, payload, **options)

    async def complete_on(self, connection: Any, result: object = None) -> None:  # noqa: ANN401 - asyncpg's or psycopg's
        """Completes the job in your own transaction on ``connection``: asyncpg's or psycopg's, to the queue's database.

        Your writes and the end of the job are then committed together or not at all. Call it last in the transaction;
        what the handler returns afterwards is not used. Raises LeaseLost when another runner owns the job (let it roll
        the transaction back), PayloadError for a bad result, ConfigError when the engine or connection can't do it.
        """
        await self._completer("complete_on")(connection, self._completion(result))
        self.settled = True

    async def fail(self, error: str, state: str | None = None) -> None:
        """Gives the job up: whatever the handler returns or raises next, it becomes a dead letter with ``error``."""
        await self.update(state or "failed", metadata={"error": error})
        self.failure = self.failure or error

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Names a part of the work in log records, and in a span where tracing is on."""
        with bound(step=name), self._tracer.step(name) if self._tracer else nullcontext():
            yield

    def close(self, *, cancelled: bool = False) -> Path | None:
        """Ends the attempt: a handler that goes on regardless (a thread) can record nothing more.

        Returns the folder to remove, if there is one. Called by the pipeline.
        """
        self._over = True
        self.cancelled = self.cancelled or cancelled
        return self._temp_dir

    def _completer(self, name: str) -> Callable[[Any, Settlement], Any]:
        self._require_running()
        completer: Callable[[Any, Settlement], Any] | None = getattr(self._sink, name, None)
        if completer is None:
            raise ConfigError(
                f"{name}: this queue's engine shares no transactions with you; return the result, or keep the queue in "
                "the same Postgres database as your tables"
            )
        return completer

    def _completion(self, result: object) -> Settlement:
        return Settlement(self.job, self._succeed(result), self._loop.time() - self._started, self.worker)

    def _require_running(self) -> None:
        if self._over:
            raise LeaseLost(f"attempt {self.attempt} of job {self.job_id} is over; stop the handler")

    async def _in_loop(self, call: Coroutine[Any, Any, T]) -> T:
        """Sources live in the runner's loop; an async handler in a thread has a loop of its own."""
        if asyncio.get_running_loop() is self._loop:
            return await call
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))


class BlockingContext:
    """The awaitable calls of a JobContext for sync handlers: each returns when the event is recorded."""

    def __init__(self, context: JobContext) -> None:
        self._context = context

    def start(self, state: str) -> None:
        """As ``JobContext.start``."""
        self._wait(self._context.start(state))

    def update(self, state: str, progress: int | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        """As ``JobContext.update``."""
        self._wait(self._context.update(state, progress, metadata))

    def complete(self, state: str, result: object = None) -> None:
        """As ``JobContext.complete``."""
        self._wait(self._context.complete(state, result))

    def publish(self, topic: str, payload: Any, **options: Unpack[SendOptions]) -> Enqueued:  # noqa: ANN401 - JSON
        """As ``JobContext.publish``; a ``connection`` among the ``options`` is psycopg's sync one."""
        call = self._context.publish(topic, payload, **options)
        if options.get("connection") is None:
            return self._wait(call)
        # The caller's connection belongs to the handler's thread.
        return asyncio.run(call)

    def complete_on(self, connection: Any, result: object = None) -> None:  # noqa: ANN401 - psycopg's
        """As ``JobContext.complete_on``, on psycopg's sync connection."""
        context = self._context
        context._completer("complete_on_blocking")(connection, context._completion(result))  # noqa: SLF001 - its other half
        context.settled = True

    def fail(self, error: str, state: str | None = None) -> None:
        """As ``JobContext.fail``."""
        self._wait(self._context.fail(error, state))

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(call, self._context._loop).result()  # noqa: SLF001 - its other half
        call.close()
        raise ConfigError("ctx.blocking would block the event loop in an async handler; write await ctx.update(…)")


class RunsJob(Protocol):
    """Whatever knows the job of the moment: a JobContext always the same one, a slot one after the other."""

    @property
    def job(self) -> Job | None:
        """The job that runs; None between two jobs."""
        ...


class JobFields(Mapping[str, object]):
    """What log records of an attempt carry: worker, queue, job_id and attempt, looked up when something is logged."""

    def __init__(self, worker: str, runs: RunsJob) -> None:
        self._worker = worker
        self._runs = runs

    def _known(self) -> dict[str, object]:
        job = self._runs.job
        if job is None:
            return {"worker": self._worker}
        return {"worker": self._worker, "queue": job.queue, "job_id": job.id, "attempt": job.attempts + 1}

    def __getitem__(self, key: str) -> object:
        return self._known()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


def remove_folder(folder: Path) -> None:
    """Removes an attempt's folder; what can't be removed is left to the system's own clean-up and logged."""

    def left(_function: object, path: str, error: Any) -> None:  # noqa: ANN401 - shutil's three-part exception info
        LOGGER.warning("temporary file %s could not be removed: %s", path, error[1])

    shutil.rmtree(folder, onerror=left)
