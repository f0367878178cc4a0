"""What an outcome changes: finish, retry, dead letter, release; together with what it publishes."""

import pytest

from tests.conformance.engine import WORKER, Dead, Finished, Stage
from workerpool.outcome import (
    Completed,
    DeadLetter,
    DeadReason,
    Expired,
    Interrupted,
    Outcome,
    Output,
    Retry,
    Stale,
    Succeeded,
)
from workerpool.sources.base import NewJob, Settlement


async def test_a_finished_job_is_gone_and_in_the_history(stage: Stage) -> None:
    [sent] = await stage.send("orders", "1")
    consumer = await stage.consumer()
    assert await consumer.settle(await consumer.one())
    assert await consumer.claim() == []
    assert await stage.engine.finished("orders") == [Finished(sent.id, "completed", 0, None, None)]
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.in_flight, reading.dead) == (0, 0, 0)


async def test_a_result_is_kept(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    result = '{"text": "\\u0000 ☃ 𝄞"}'
    assert await consumer.settle(await consumer.one(), Succeeded(result))
    [line] = await stage.engine.finished("orders")
    assert line.result == result


async def test_a_batch_of_different_outcomes_is_carried_out(stage: Stage) -> None:
    await stage.send("orders", *(str(n) for n in range(6)))
    consumer = await stage.consumer()
    jobs = {job.payload: job for job in await consumer.claim()}
    outcomes: list[Outcome] = [
        Succeeded(),
        Succeeded("7", (Output("invoices", "8"),)),
        Retry(60, "later"),
        DeadLetter(DeadReason.ERROR, "never"),
        Interrupted(),
        Expired(),
    ]
    batch = [Settlement(jobs[str(n)], outcome, 0.1, WORKER) for n, outcome in enumerate(outcomes)]
    assert await consumer.source.settle(batch) == []
    states = {it.id: it.state for it in await stage.engine.finished("orders")}
    assert states == {
        jobs["0"].id: "completed",
        jobs["1"].id: "completed",
        jobs["3"].id: "dead",
        jobs["5"].id: "expired",
    }
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.in_flight, reading.delayed, reading.dead) == (1, 0, 1, 1)
    assert (await stage.engine.backlog("invoices")).ready == 1


async def test_an_empty_batch_changes_nothing(stage: Stage) -> None:
    assert await (await stage.consumer()).source.settle([]) == []


async def test_a_retry_comes_back_when_due_and_charges_one_attempt(stage: Stage) -> None:
    await stage.send("orders", NewJob('{"id": 1}', priority=7, headers='{"h": 1}', expires_in=500))
    consumer = await stage.consumer()
    job = await consumer.one()
    assert await consumer.settle(job, Retry(60, "later"))
    assert await consumer.claim() == []
    await stage.engine.advance(61)
    again = await consumer.soon()
    assert (again.id, again.payload, again.headers, again.priority) == (job.id, job.payload, job.headers, 7)
    assert (again.attempts, again.crashes, again.expired) == (1, 0, False)


async def test_a_retry_without_delay_comes_back_soon(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    await consumer.settle(await consumer.one(), Retry(0, "at once"))
    assert (await consumer.soon()).attempts == 1


async def test_an_interrupted_job_comes_back_at_no_cost(stage: Stage) -> None:
    await stage.send("orders", NewJob("1", priority=3))
    first, second = await stage.consumer(), await stage.consumer()
    assert await first.settle(await first.one(), Interrupted())
    again = await second.one()
    assert (again.attempts, again.crashes, again.priority) == (0, 0, 3)
    assert await stage.engine.finished("orders") == []


async def test_a_dead_letter_keeps_everything_about_the_job(stage: Stage) -> None:
    await stage.send("orders", NewJob('{"id": 1}', priority=7, headers='{"h": 1}'))
    consumer = await stage.consumer()
    await consumer.settle(await consumer.one(), Retry(0, "later"))
    job = await consumer.soon()
    assert await consumer.settle(job, DeadLetter(DeadReason.TIMEOUT, "too slow"))
    expected = Dead(job.id, "timeout", "too slow", WORKER, 7, 1, 0, '{"id": 1}', '{"h": 1}')
    assert await stage.engine.dead("orders") == [expected]
    [line] = await stage.engine.finished("orders")
    assert (line.state, line.error) == ("dead", "too slow")
    assert await consumer.claim() == []


async def test_a_dead_letter_that_was_forwarded_is_not_counted_as_waiting(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer("orders", "orders.dlq")
    forwarded = DeadLetter(DeadReason.ERROR, "no", (Output("orders.dlq", '{"original": 1}'),))
    await consumer.settle(await consumer.one(), forwarded)
    assert (await consumer.one("orders.dlq")).payload == '{"original": 1}'
    assert (await stage.engine.backlog("orders")).dead == 0
    assert len(await stage.engine.dead("orders")) == 1


@pytest.mark.parametrize("error", ["a\x00b", "☃ 𝄞", "lone \udc80 surrogate", "x" * 100_000, ""])
async def test_any_error_text_can_be_kept(stage: Stage, error: str) -> None:
    await stage.send("orders", "1", "2")
    consumer = await stage.consumer()
    first, second = await consumer.claim()
    assert await consumer.settle(first, DeadLetter(DeadReason.ERROR, error))
    assert await consumer.settle(second, Retry(0, error))
    [dead] = await stage.engine.dead("orders")
    assert dead.error[:1] == error[:1]
    assert dead.error[-1:] == error[-1:]


@pytest.mark.parametrize(
    "outcome",
    [Succeeded(), Succeeded("1"), Expired(), DeadLetter(DeadReason.TERMINAL, "no")],
    ids=lambda it: type(it).__name__,
)
async def test_a_unique_key_is_free_after_the_end(stage: Stage, outcome: Outcome) -> None:
    await stage.send("orders", NewJob("1", unique_key="k"))
    consumer = await stage.consumer()
    await consumer.settle(await consumer.one(), outcome)
    [again] = await stage.send("orders", NewJob("2", unique_key="k"))
    assert not again.duplicate


@pytest.mark.parametrize("outcome", [Retry(0, "later"), Interrupted()], ids=lambda it: type(it).__name__)
async def test_a_unique_key_is_held_until_the_end(stage: Stage, outcome: Outcome) -> None:
    [sent] = await stage.send("orders", NewJob("1", unique_key="k"))
    consumer = await stage.consumer()
    job = await consumer.one()
    assert await stage.send("orders", NewJob("2", unique_key="k")) == [(sent.id, True)]
    await consumer.settle(job, outcome)
    assert await stage.send("orders", NewJob("2", unique_key="k")) == [(sent.id, True)]
    await consumer.settle(await consumer.soon())
    assert [it.duplicate for it in await stage.send("orders", NewJob("3", unique_key="k"))] == [False]


async def test_outputs_appear_with_the_finish(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer("orders", "invoices", "parcels")
    job = await consumer.one()
    assert await consumer.claim("invoices") == []
    outputs = (Output("invoices", '"a"'), Output("parcels", '"b"'), Output("invoices", '"c"'))
    await consumer.settle(job, Succeeded('"r"', outputs))
    assert [it.payload for it in await consumer.claim("invoices")] == ['"a"', '"c"']
    assert [it.payload for it in await consumer.claim("parcels")] == ['"b"']


@pytest.mark.parametrize("outcome", [Stale(), Completed()], ids=lambda it: type(it).__name__)
async def test_a_job_that_is_lost_or_completed_itself_is_left_alone(stage: Stage, outcome: Outcome) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    job = await consumer.one()
    assert await consumer.settle(job, outcome)
    assert await stage.engine.finished("orders") == []
    assert (await stage.engine.backlog("orders")).in_flight == 1


async def test_progress_is_recorded_in_order(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    await consumer.settle(await consumer.one(), Retry(0, "later"))
    job = await consumer.soon()
    await consumer.source.progress(job, "reading", None, None)
    await consumer.source.progress(job, "writing ☃", 50, '{"rows": 3}')
    events = await stage.engine.events(job)
    assert events == [(2, "reading", None, None), (2, "writing ☃", 50, '{"rows": 3}')]


async def test_totals_count_what_finished(stage: Stage) -> None:
    await stage.send("orders", "1", "2", "3")
    consumer = await stage.consumer()
    first, second, third = await consumer.claim()
    await consumer.settle(first)
    await consumer.settle(second, Retry(500, "later"))
    await consumer.settle(third, DeadLetter(DeadReason.ERROR, "no"))
    await consumer.source.close()
    reading = await stage.engine.backlog("orders")
    assert (reading.completed, reading.failed) == (1, 2)
