"""Leases: renewed while held, reclaimed when they ran out, and a late word of the former holder changes nothing."""

import pytest

from tests.conformance.engine import LEASE, Consumer, Stage
from tests.support.waiting import eventually
from workerpool.errors import LeaseLost
from workerpool.outcome import DeadLetter, DeadReason, Expired, Interrupted, Outcome, Output, Retry, Succeeded
from workerpool.sources.base import Job, NewJob, Settlement


async def stolen(stage: Stage) -> tuple[Consumer, Job, Consumer, Job]:
    """A job that one consumer held, lost and another one holds now."""
    await stage.send("orders", NewJob("1", unique_key="k"))
    slow, quick = await stage.consumer(), await stage.consumer()
    late = await slow.one()
    await stage.lose(slow)
    return slow, late, quick, await quick.soon()


async def test_a_lease_is_renewed_while_the_job_is_held(stage: Stage) -> None:
    await stage.send("orders", "1")
    holder, other = await stage.consumer(), await stage.consumer()
    job = await holder.one()
    for _ in range(3):
        await stage.engine.advance(LEASE * 0.6)
        await stage.engine.renewed()
        assert await other.claim() == []
    assert await holder.settle(job)


async def test_a_lease_that_ran_out_is_reclaimed_and_one_crash_charged(stage: Stage) -> None:
    _, late, _, again = await stolen(stage)
    assert (again.id, again.payload, again.attempts, again.crashes) == (late.id, late.payload, 0, 1)


async def test_a_running_lease_is_not_reclaimed(stage: Stage) -> None:
    await stage.send("orders", "1")
    holder, other = await stage.consumer(), await stage.consumer()
    await holder.one()
    stage.stall(holder)
    await stage.engine.advance(LEASE / 2)
    assert await other.claim() == []


async def test_what_a_closed_source_held_is_delivered_again(stage: Stage) -> None:
    await stage.send("orders", "1", "2")
    gone, other = await stage.consumer(), await stage.consumer()
    await gone.claim()
    await gone.source.close()
    assert await other.claim() == []
    await stage.engine.advance(LEASE + 1)
    assert [job.crashes for job in await other.claim()] == [1, 1]


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(),
        Succeeded('"r"', (Output("invoices", "1"),)),
        Retry(0, "later"),
        DeadLetter(DeadReason.ERROR, "no", (Output("invoices", "1"),)),
        Expired(),
        Interrupted(),
    ],
    ids=["finish", "finish with outputs", "retry", "dead letter", "expire", "release"],
)
async def test_a_late_outcome_changes_nothing_and_is_told(stage: Stage, outcome: Outcome) -> None:
    slow, late, quick, again = await stolen(stage)
    assert not await slow.settle(late, outcome)
    assert await stage.engine.finished("orders") == []
    assert await stage.engine.dead("orders") == []
    reading = await stage.engine.backlog("orders")
    assert (reading.ready, reading.in_flight, reading.delayed) == (0, 1, 0)
    assert (await stage.engine.backlog("invoices")).ready == 0
    assert [it.duplicate for it in await stage.send("orders", NewJob("2", unique_key="k"))] == [True]
    assert await quick.settle(again)


async def test_the_outcome_of_a_lost_job_spoils_no_other_of_its_batch(stage: Stage) -> None:
    slow, late, _, _ = await stolen(stage)
    stage.resume(slow)
    slow.held.clear()
    await stage.send("orders", '"fine"')
    fine = await slow.one()
    done = Succeeded("1", (Output("invoices", "1"),))
    stale = await slow.source.settle([Settlement(late, done, 0.1, "w"), Settlement(fine, done, 0.1, "w")])
    assert stale == [late]
    assert [it.id for it in await stage.engine.finished("orders")] == [fine.id]
    assert (await stage.engine.backlog("invoices")).ready == 1


async def test_an_outcome_twice_counts_once(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    job = await consumer.one()
    assert await consumer.settle(job, Succeeded("1"))
    assert not await consumer.settle(job, Succeeded("2"))
    assert [it.result for it in await stage.engine.finished("orders")] == ["1"]


async def test_progress_of_a_lost_job_is_refused(stage: Stage) -> None:
    slow, late, _, _ = await stolen(stage)
    with pytest.raises(LeaseLost):
        await slow.source.progress(late, "still here", 50, None)
    assert await stage.engine.events(late) == []


async def test_a_lost_job_must_not_start(stage: Stage) -> None:
    slow, late, quick, again = await stolen(stage)
    assert not await slow.source.mark(late)
    assert await quick.source.mark(again)


async def test_a_consumer_that_comes_back_is_told_what_it_lost(stage: Stage) -> None:
    slow, late, _, _ = await stolen(stage)
    stage.resume(slow)

    async def told() -> bool:
        return {job.id for job in slow.fenced} == {late.id}

    await eventually(told, "fencing")


async def test_a_job_reclaimed_by_its_former_holder_has_a_new_token(stage: Stage) -> None:
    await stage.send("orders", "1")
    consumer = await stage.consumer()
    late = await consumer.one()
    await stage.lose(consumer)
    consumer.held.clear()
    again = await consumer.soon()
    assert again.crashes == 1
    assert not await consumer.settle(late)
    assert await consumer.settle(again)


async def test_a_later_crash_is_charged_only_to_jobs_that_were_about_to_start(stage: Stage) -> None:
    await stage.send("orders", "1")
    seen = []
    for marks in (False, False, True, False):
        consumer = await stage.consumer()
        job = await consumer.soon()
        seen.append(job.crashes)
        assert not marks or await consumer.source.mark(job)
        await stage.lose(consumer)
    seen.append((await (await stage.consumer()).soon()).crashes)
    assert seen == [0, 1, 1, 2, 2]


async def test_a_release_takes_the_mark_back(stage: Stage) -> None:
    *_, quick, job = await stolen(stage)
    assert await quick.source.mark(job)
    await quick.settle(job, Interrupted())
    again = await quick.soon()
    await stage.lose(quick)
    final = await (await stage.consumer()).soon()
    assert (again.crashes, final.crashes) == (1, 1)


async def test_a_retry_keeps_the_crashes(stage: Stage) -> None:
    *_, quick, job = await stolen(stage)
    await quick.settle(job, Retry(0, "later"))
    again = await quick.soon()
    assert (again.attempts, again.crashes) == (1, 1)


async def test_the_holder_of_a_cancelled_job_is_told_and_settles_nothing(stage: Stage) -> None:
    [sent] = await stage.send("orders", "1")
    consumer = await stage.consumer()
    job = await consumer.soon()
    assert await stage.engine.cancel(sent.id)

    async def told() -> bool:
        return consumer.cancelled == [job]

    await eventually(told, "the news of the cancellation")
    assert consumer.fenced == []
    assert not await consumer.settle(job, Succeeded("1", (Output("invoices", "1"),)))
    assert [(it.state, it.result) for it in await stage.engine.finished("orders")] == [("cancelled", None)]
    assert (await stage.engine.backlog("invoices")).ready == 0
