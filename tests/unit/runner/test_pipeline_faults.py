"""What becomes of a job that fails, is cut off, or must not start; nothing of it may raise into the lane."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.waiting import DEADLINE
from tests.unit.runner.jobs import Slot, a_job, bench, dead
from workerpool.errors import HandBack, JobTimeout, LeaseLost, RetryableError, TerminalError, WorkerPoolError
from workerpool.outcome import SUCCEEDED, DeadLetter, DeadReason, Expired, Interrupted, Retry, Stale
from workerpool.worker import worker

Handler = Callable[[dict[str, Any]], Awaitable[None]]


def raising(error: BaseException, **settings: Any) -> Handler:
    """A worker whose handler raises ``error``."""

    @worker("orders", **settings)
    async def handle(order: dict[str, Any]) -> None:
        raise error

    return handle


def hanging(started: asyncio.Event, **settings: Any) -> Handler:
    """A worker whose handler says that it started and never ends."""

    @worker("orders", **settings)
    async def handle(order: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    return handle


async def test_an_error_is_retried_and_told_with_type_message_and_place() -> None:
    async with bench(raising(ValueError("no stock"))) as run:
        outcome = await run()
    assert isinstance(outcome, Retry)
    assert outcome.delay == 1.0
    first, second = outcome.error.splitlines()
    assert first == "ValueError: no stock"
    assert second.startswith("  at tests.unit.runner.test_pipeline_faults:")
    assert second.endswith(" in handle")


async def test_the_delay_follows_the_attempts_and_ends_in_a_dead_letter() -> None:
    async with bench(raising(ValueError("no"), max_retries=2, retry_backoff="linear")) as run:
        first, second, last = [await run(attempts=attempts) for attempts in range(3)]
    assert isinstance(first, Retry)
    assert isinstance(second, Retry)
    assert (first.delay, second.delay) == (1.0, 2.0)
    assert dead(last)[0] is DeadReason.ERROR


async def test_a_retryable_error_chooses_its_delay() -> None:
    async with bench(raising(RetryableError("later", delay=42))) as run:
        outcome = await run()
    assert isinstance(outcome, Retry)
    assert outcome.delay == 42


async def test_a_terminal_error_is_dead_at_once() -> None:
    async with bench(raising(TerminalError("never"))) as run:
        assert dead(await run())[0] is DeadReason.TERMINAL


async def test_the_dead_letter_topic_gets_the_documented_body() -> None:
    async with bench(
        raising(TimeoutError("Connection timeout"), dlq_topic="payments.dlq", name="process_payment")
    ) as run:
        outcome = await run('{"payment_id": "123", "amount": 100.00}', attempts=3)
    assert isinstance(outcome, DeadLetter)
    (output,) = outcome.outputs
    assert output.topic == "payments.dlq"
    assert json.loads(output.payload) == {
        "original": {"payment_id": "123", "amount": 100.0},
        "error": "Connection timeout",
        "worker": "process_payment",
        "retries": 3,
    }


async def test_the_dead_letter_of_malformed_json_carries_the_text() -> None:
    async with bench(raising(ValueError(), dlq_topic="dlq")) as run:
        outcome = await run("{nope")
    assert isinstance(outcome, DeadLetter)
    body = json.loads(outcome.outputs[0].payload)
    assert (body["original"], body["retries"]) == ("{nope", 0)
    assert body["error"].startswith("the payload is not JSON")


async def test_without_a_dead_letter_topic_nothing_is_published() -> None:
    async with bench(raising(ValueError("x"), max_retries=0)) as run:
        outcome = await run()
    assert isinstance(outcome, DeadLetter)
    assert outcome.outputs == ()


async def test_on_error_is_told_once_no_retry_is_left() -> None:
    told: list[tuple[Any, Exception]] = []
    error = ValueError("no")
    handle = raising(error, max_retries=1, on_error=lambda order, error: told.append((order, error)))
    async with bench(handle) as run:
        await run()
        assert told == []
        await run(attempts=1)
    assert told == [({"id": 1}, error)]


async def test_secrets_are_masked_wherever_the_error_goes(caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("can't reach postgres://shop:hunter22@db/shop")
    async with bench(raising(error, max_retries=0, dlq_topic="dlq")) as run:
        outcome = await run()
    assert isinstance(outcome, DeadLetter)
    for text in (outcome.error, outcome.outputs[0].payload, caplog.text):
        assert "hunter22" not in text
        assert "shop:***@db" in text


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), asyncio.CancelledError("inner"), MemoryError()])
async def test_nothing_that_a_handler_raises_ends_the_runner(error: BaseException) -> None:
    told: list[Exception] = []
    handle = raising(error, max_retries=1, on_error=lambda _order, error: told.append(error))
    async with bench(handle) as run:
        retry = await run()
        assert isinstance(retry, Retry)
        assert retry.error.startswith(type(error).__name__)
        assert dead(await run(attempts=1))[0] is DeadReason.ERROR
    assert isinstance(told[0], Exception)


async def test_an_error_whose_text_fails_is_still_an_outcome() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    async with bench(raising(Unspeakable())) as run:
        outcome = await run()
    assert isinstance(outcome, Retry)
    assert outcome.error.startswith("Unspeakable: (its message can't be shown")


async def test_a_timeout_is_retried_then_dead_with_its_own_reason() -> None:
    told: list[Exception] = []
    started = asyncio.Event()
    handle = hanging(started, max_retries=1, timeout=5, on_error=lambda _order, error: told.append(error))
    async with bench(handle) as run:
        retry = await run.cut("timeout", started.wait)
        assert isinstance(retry, Retry)
        assert retry.error == "JobTimeout: cut off after 5 s; make the handler faster or raise its timeout"
        started.clear()
        assert dead(await run.cut("timeout", started.wait, attempts=1))[0] is DeadReason.TIMEOUT
    assert isinstance(told[0], JobTimeout)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("fenced", Interrupted()),
        ("drain", Interrupted()),
        ("cancelled", Interrupted()),
    ],
)
async def test_a_job_cut_off_from_outside_is_not_a_failed_attempt(reason: str, outcome: object) -> None:
    told: list[object] = []
    started = asyncio.Event()
    handle = hanging(started, max_retries=0, dlq_topic="dlq", on_error=lambda *arguments: told.append(arguments))
    async with bench(handle) as run:
        assert await run.cut(reason, started.wait) == outcome
    assert told == []


async def test_the_reason_counts_even_if_the_handler_answers_the_cancellation_with_its_own_error() -> None:
    started = asyncio.Event()

    @worker("orders")
    async def handle(order: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cleanup failed") from None

    async with bench(handle) as run:
        assert await run.cut("drain", started.wait) == Interrupted()


async def test_a_handler_that_finishes_despite_the_cancellation_has_succeeded() -> None:
    started = asyncio.Event()

    @worker("orders")
    async def handle(order: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async with bench(handle) as run:
        assert await run.cut("drain", started.wait) is SUCCEEDED


async def test_the_slots_task_is_not_left_cancelled() -> None:
    started = asyncio.Event()
    left: list[int] = []

    async def look(_order: object, _error: object) -> None:
        task = asyncio.current_task()
        left.append(task.cancelling() if task else -1)

    async with bench(hanging(started, max_retries=0, on_error=look)) as run:
        await run.cut("timeout", started.wait)
    assert left == [0]


async def test_a_cancellation_without_a_reason_ends_the_task() -> None:
    started = asyncio.Event()
    async with bench(hanging(started)) as run:

        async def work() -> object:
            return await run.run(a_job(), Slot())

        task = asyncio.create_task(work())
        async with asyncio.timeout(DEADLINE):
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_hook_that_is_cut_off_leaves_the_outcome_alone() -> None:
    started = asyncio.Event()

    async def slow(*arguments: object) -> None:
        started.set()
        await asyncio.Event().wait()

    @worker("orders", on_success=slow)
    async def handle(order: dict[str, Any]) -> None: ...

    async with bench(handle) as run:
        assert await run.cut("drain", started.wait) is SUCCEEDED


async def test_a_handler_told_that_its_lease_is_lost_settles_nothing() -> None:
    async with bench(raising(LeaseLost("stale"))) as run:
        assert await run() == Stale()


async def test_a_job_that_is_handed_back_costs_no_attempt() -> None:
    async with bench(raising(HandBack("the storage is away"), max_retries=0, dlq_topic="dlq")) as run:
        assert await run(attempts=5) == Interrupted()


async def test_an_expired_job_does_not_run() -> None:
    async with bench(raising(AssertionError("ran"))) as run:
        assert await run(expired=True) == Expired()


async def test_a_job_that_crashed_too_often_does_not_run_but_on_error_may_make_up_for_it() -> None:
    told: list[tuple[Any, Exception]] = []
    handle = raising(AssertionError("ran"), dlq_topic="dlq", on_error=lambda *arguments: told.append(arguments))
    async with bench(handle, max_crashes=2) as run:
        reason, error = dead(await run(crashes=2))
        assert isinstance(await run(crashes=1), Retry)
    assert reason is DeadReason.CRASHED
    assert "the runner died or lost its lease 2 times while this job ran (limit 2)" in error
    assert told[0][0] == {"id": 1}
    assert isinstance(told[0][1], WorkerPoolError)


async def test_failures_are_logged_with_attempt_and_delay(caplog: pytest.LogCaptureFixture) -> None:
    async with bench(raising(ValueError("no stock"), max_retries=1)) as run:
        await run()
        await run(attempts=1)
    assert "Attempt 1 failed, the next is due in 1 s: ValueError: no stock" in caplog.text
    assert "Dead letter (error): no stock" in caplog.text
