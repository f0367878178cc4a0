"""The paths of a job that did not simply succeed: from an error, or a refusal, to an Outcome. None of it is hot."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final, Protocol

from workerpool.definition import WorkerDefinition
from workerpool.errors import HandBack, JobTimeout, LeaseLost, TerminalError, WorkerPoolError
from workerpool.handlers import Call
from workerpool.outcome import DeadLetter, DeadReason, Expired, Interrupted, Outcome, Output, Retry, Stale
from workerpool.redaction import redact
from workerpool.retry import classify
from workerpool.schemas import Decode, explain, parse_json
from workerpool.sources.base import Job
from workerpool.tracebacks import describe, headline, message
from workerpool_contract.job import DeadLetterBody

LOGGER: Final = logging.getLogger("workerpool.pipeline")


class Slot(Protocol):
    """What the lane shares with the pipeline about the job that runs: why it cancelled the slot's task, if it did.

    "timeout", "fenced" (the lease is lost), "drain" (the runner stops) or "cancelled" (the job is gone).
    """

    @property
    def cancel_reason(self) -> str | None:
        """None while nobody has cancelled the job."""
        ...

    def hook_begins(self) -> None:
        """The handler's timeout counts no more; a handler that was cut off leaves a hook that may be cut off too."""
        ...

    def hook_ends(self) -> None:
        """The hook is over."""
        ...


class JobCrashed(WorkerPoolError):
    """Given to on_error for a job whose runner died under it time and again; it was not run once more."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Turns what went wrong with jobs of one worker into outcomes.

    ``expected``: what a payload must be, for error messages ("OrderIn"). ``hook_timeout``: seconds a hook may take.
    """

    definition: WorkerDefinition
    decode: Decode
    expected: str
    on_error: Call | None
    max_crashes: int
    hook_timeout: float

    async def refused(self, job: Job, slot: Slot) -> Outcome:
        """A job that must not start: expired, or its runner crashed under it too often."""
        if job.expired:
            return Expired()
        error = JobCrashed(
            f"the runner died or lost its lease {job.crashes} times while this job ran (limit {self.max_crashes}); "
            "look for memory use, os._exit, or a handler that blocks the whole process"
        )
        try:
            payload = self.decode(job.payload)
        except Exception as fault:  # noqa: BLE001 - a user's validator may raise anything
            return self.invalid(job, fault)
        return await self.dead(job, slot, payload, error, DeadReason.CRASHED)

    def invalid(self, job: Job, error: Exception) -> Outcome:
        """A payload that is not JSON or breaks the schema. No hook runs: there is no payload to give it."""
        text = redact(f"the payload {explain(error, self.expected)}")
        return self._dead_letter(job, DeadReason.INVALID, text, text)

    async def failed(
        self,
        job: Job,
        slot: Slot,
        payload: object,
        error: BaseException,
        failure: str | None = None,
    ) -> Outcome:
        """The handler raised ``error`` or was cut off. Raises only what must end the slot's task itself.

        ``failure``: the reason that the handler gave to ``ctx.fail``.
        """
        if isinstance(error, GeneratorExit) or _is_shutdown(error, slot):
            raise error
        outcome = _cut_off(slot, error)
        if outcome is not None:
            return outcome
        if failure is not None:
            return await self.dead(job, slot, payload, TerminalError(failure), DeadReason.TERMINAL)
        if slot.cancel_reason == "timeout":
            limit = self.definition.timeout
            error = JobTimeout(f"cut off after {limit or 0:g} s; make the handler faster or raise its timeout")
        verdict = classify(error, job.attempts, self.definition.retry, describe(error))
        if isinstance(verdict, Retry):
            LOGGER.warning(
                "Attempt %d failed, the next is due in %g s: %s", job.attempts + 1, verdict.delay, headline(error)
            )
            return verdict
        return await self.dead(job, slot, payload, error, verdict.reason)

    async def dead(
        self,
        job: Job,
        slot: Slot,
        payload: object,
        error: BaseException,
        reason: DeadReason,
    ) -> DeadLetter:
        """A dead letter whose payload is sound, so on_error is called to make up for what was half done."""
        if self.on_error is not None:
            await self.hook("on_error", self.on_error, slot, payload, _as_exception(error))
        return self._dead_letter(job, reason, describe(error), message(error))

    async def hook(self, name: str, call: Call, slot: Slot, *arguments: object) -> None:
        """Calls a hook; whatever goes wrong in it is logged and changes nothing."""
        slot.hook_begins()
        try:
            async with asyncio.timeout(self.hook_timeout):
                await call(*arguments)
        except BaseException as error:
            if isinstance(error, GeneratorExit) or _is_shutdown(error, slot):
                raise
            LOGGER.warning("%s of worker %s failed: %s", name, self.definition.name, describe(error))
        finally:
            slot.hook_ends()

    def _dead_letter(self, job: Job, reason: DeadReason, text: str, words: str) -> DeadLetter:
        topic, name = self.definition.dlq_topic, self.definition.name
        LOGGER.error("Dead letter (%s): %s", reason, words)
        if topic is None:
            return DeadLetter(reason, text)
        body = DeadLetterBody(original=_original(job.payload), error=words, worker=name, retries=job.attempts)
        return DeadLetter(reason, text, (Output(topic, body.model_dump_json()),))


def _cut_off(slot: Slot, error: BaseException) -> Outcome | None:
    """The outcome of an attempt that ended through no fault of the job, None when it failed or ran too long."""
    if slot.cancel_reason is not None and (task := asyncio.current_task()) is not None:
        task.uncancel()
    if slot.cancel_reason in ("fenced", "drain", "cancelled"):
        # Fenced: if nobody else claimed the job after all, handing it back spares it the wait for the lease's end.
        # Cancelled: the job is gone, so there is nothing left to hand back.
        return Interrupted()
    if isinstance(error, HandBack):
        return Interrupted()
    return Stale() if isinstance(error, LeaseLost) else None


def _is_shutdown(error: BaseException, slot: Slot) -> bool:
    """Whether somebody cancels the slot's task for good; a handler may also raise CancelledError by itself."""
    if slot.cancel_reason is not None or not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _as_exception(error: BaseException) -> Exception:
    """What on_error gets: hooks are promised an Exception, but handlers may raise SystemExit."""
    if isinstance(error, Exception):
        return error
    wrapped = WorkerPoolError(headline(error))
    wrapped.__cause__ = error
    return wrapped


def _original(payload: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return parse_json(payload)
    except ValueError:
        return payload
