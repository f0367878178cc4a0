"""The hot path: one job through validate -> enter -> handle -> classify, as a function made to measure for its worker.

``compile_pipeline`` looks at a worker once and leaves out what it doesn't use: a plain async handler pays for parsing
its payload, for its own call and for little else. There is no task, timer or context manager per job: the lane that
runs the pipeline enforces timeouts by cancelling the slot's task with a reason, and ``verdicts`` reads that reason.
Settling and recording are the lane's business too.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from workerpool.context import JobContext, JobFields, ProgressSink, StepTracer, remove_folder
from workerpool.definition import WorkerDefinition
from workerpool.errors import TerminalError
from workerpool.handlers import Call, Handlers
from workerpool.logs import FIELDS
from workerpool.outcome import SUCCEEDED, Completed, DeadReason, Outcome, Output, Succeeded
from workerpool.producer import DEFAULT_MAX_PAYLOAD, publish
from workerpool.schemas import Decode, Encode, decoder, encoder
from workerpool.signatures import shape_of
from workerpool.sources.base import Job
from workerpool.verdicts import Slot, Verdicts

DEFAULT_MAX_CRASHES: Final = 3
HOOK_TIMEOUT: Final = 30.0

Run = Callable[[Job, Slot], Awaitable[Outcome]]
"""Runs one job to its outcome. It raises CancelledError when its task is cancelled without a reason, else nothing."""

Succeed = Callable[[object], Succeeded]
"""The outcome with a handler's result. It raises PayloadError, or whatever a user's serialiser raises."""

Conclude = Callable[[Job, Slot, object, object], Awaitable[Outcome]]


class Tracer(StepTracer, Protocol):
    """Opens spans around jobs and around the steps inside them."""

    def job(self, job: Job, worker: str) -> AbstractContextManager[object]:
        """A span around one attempt; an exception that leaves it is recorded in it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What pipelines need of the process they run in; one value for all of them.

    ``max_payload``: bytes of a result. ``temp_root``: folder for handlers' temporary folders, None for the system's.
    ``tracer``: None when tracing is off. ``hook_timeout``: seconds that on_success and on_error may take.
    """

    progress: ProgressSink
    handlers: Handlers
    max_payload: int = DEFAULT_MAX_PAYLOAD
    max_crashes: int = DEFAULT_MAX_CRASHES
    temp_root: Path | None = None
    tracer: Tracer | None = None
    hook_timeout: float = HOOK_TIMEOUT


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts of one worker's pipeline. ``call`` is the handler in awaitable form."""

    definition: WorkerDefinition
    services: Services
    decode: Decode
    call: Call
    succeed: Succeed
    conclude: Conclude
    wants_context: bool
    keeps_nothing: bool
    verdicts: Verdicts


def compile_pipeline(definition: WorkerDefinition, *, services: Services) -> Run:
    """The function that runs one job of this worker. Raises ConfigError when its handler can't be called."""
    shape = shape_of(definition)
    bound = definition.bind()
    handlers, decode = services.handlers, decoder(shape)
    verdicts = Verdicts(
        definition=definition,
        decode=decode,
        expected=shape.model.__name__ if shape.model else "what the handler takes",
        on_error=handlers.hook_caller(bound.on_error),
        max_crashes=services.max_crashes,
        hook_timeout=services.hook_timeout,
    )
    on_success = handlers.hook_caller(bound.on_success)
    succeed = _successes(definition, services)
    stages = Stages(
        definition=definition,
        services=services,
        decode=decode,
        call=handlers.caller(bound.handler, definition.runs, definition.concurrency),
        succeed=succeed,
        conclude=_concluder(succeed, verdicts, on_success),
        wants_context=shape.wants_context,
        keeps_nothing=on_success is None,
        verdicts=verdicts,
    )
    is_plain = definition.runs == "async" and not shape.wants_context and services.tracer is None
    return _plain(stages) if is_plain else _with_context(stages)


def _plain(stages: Stages) -> Run:
    """For async handlers that take the payload only."""
    decode, call, conclude, keeps_nothing = stages.decode, stages.call, stages.conclude, stages.keeps_nothing
    verdicts, max_crashes = stages.verdicts, stages.services.max_crashes

    async def run(job: Job, slot: Slot) -> Outcome:
        if job.expired or job.crashes >= max_crashes:
            return await verdicts.refused(job, slot)
        try:
            payload = decode(job.payload)
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
            return verdicts.invalid(job, error)
        try:
            result = await call(payload)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything, SystemExit included
            return await verdicts.failed(job, slot, payload, error)
        if result is None and keeps_nothing:
            return SUCCEEDED
        return await conclude(job, slot, payload, result)

    return run


def _with_context(stages: Stages) -> Run:
    """For handlers that take a JobContext or leave the loop, and for every handler while tracing is on.

    Log records name the job by the context: a thread may outlive its attempt, while the slot has gone on.
    """
    verdicts, services, definition = stages.verdicts, stages.services, stages.definition

    async def run(job: Job, slot: Slot) -> Outcome:
        if job.expired or job.crashes >= services.max_crashes:
            return await verdicts.refused(job, slot)
        try:
            payload = stages.decode(job.payload)
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
            return verdicts.invalid(job, error)
        context = JobContext(
            job,
            worker=definition.name,
            max_retries=definition.retry.max_retries,
            sink=services.progress,
            temp_root=services.temp_root,
            tracer=services.tracer,
            succeed=stages.succeed,
            publish=publish,
        )
        return await _in_context(stages, job, slot, payload, context)

    return run


async def _in_context(stages: Stages, job: Job, slot: Slot, payload: object, context: JobContext) -> Outcome:
    fields = FIELDS.set(JobFields(context.worker, context))
    try:
        return await _attempt(stages, job, slot, payload, context)
    finally:
        FIELDS.reset(fields)
        folder = context.close()
        if folder is not None:
            await stages.services.handlers.in_thread(remove_folder, folder)


async def _attempt(stages: Stages, job: Job, slot: Slot, payload: object, context: JobContext) -> Outcome:
    tracer = stages.services.tracer
    try:
        with tracer.job(job, stages.definition.name) if tracer else nullcontext():
            result = await (stages.call(payload, context) if stages.wants_context else stages.call(payload))
    except BaseException as error:  # noqa: BLE001 - a handler may raise anything, SystemExit included
        context.close(cancelled=slot.cancel_reason is not None)
        return await stages.verdicts.failed(job, slot, payload, error, failure=context.failure)
    if context.failure is not None:
        return await stages.verdicts.dead(job, slot, payload, TerminalError(context.failure), DeadReason.TERMINAL)
    if context.settled:
        return Completed()
    result = context.result if result is None else result
    if result is None and stages.keeps_nothing:
        return SUCCEEDED
    return await stages.conclude(job, slot, payload, result)


def _successes(definition: WorkerDefinition, services: Services) -> Succeed:
    """What a result becomes: checked, written as JSON, published."""
    encode: Encode = encoder(definition.output_schema, services.max_payload)
    topic = definition.output_topic

    def succeed(result: object) -> Succeeded:
        if result is None:
            return SUCCEEDED
        text = encode(result)
        return Succeeded(text, (Output(topic, text),) if topic else ())

    return succeed


def _concluder(succeed: Succeed, verdicts: Verdicts, on_success: Call | None) -> Conclude:
    """What happens after a handler returned: its result becomes the outcome and is told to on_success."""

    async def conclude(job: Job, slot: Slot, payload: object, result: object) -> Outcome:
        try:
            outcome = succeed(result)
        except Exception as error:  # noqa: BLE001 - a user's serialiser may raise anything
            return await verdicts.dead(job, slot, payload, error, DeadReason.INVALID)
        if on_success is not None:
            await verdicts.hook("on_success", on_success, slot, payload, result)
        return outcome

    return conclude
