"""A lane runs what it was offered, as many at a time as it may, and gives back what it can't run."""

import asyncio
import contextvars

import pytest

from tests.support.waiting import DEADLINE
from tests.unit.runner.stand import Gate, a_stand
from workerpool.lanes import CLAIM_AHEAD, STUCK, TURN, Slot
from workerpool.outcome import SUCCEEDED, Interrupted, Outcome
from workerpool.sources.base import Job

FINAL = 2
"""Crashes after which a further one ends a job (the default limit is 3)."""


async def immediate(_job: Job, _slot: Slot) -> Outcome:
    return SUCCEEDED


async def obedient(job: Job, slot: Slot) -> Outcome:
    """Runs until it is cut off."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return Interrupted()
    return SUCCEEDED


async def test_jobs_run_in_the_order_of_their_offer() -> None:
    stand = await a_stand(immediate, concurrency=1)
    await stand.offer("1", "2", "3")
    assert [payload for payload, _ in await stand.settles(3)] == ["1", "2", "3"]
    await stand.close()


async def test_no_more_than_the_concurrency_run_at_a_time() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=2)
    await stand.offer("1", "2", "3")
    await gate.running(2)
    assert (stand.lane.busy, stand.lane.buffered) == (2, 1)
    gate.release(gate.started[0])
    await gate.running(3)
    assert [job.payload for job in gate.started] == ["1", "2", "3"]
    gate.release()
    await stand.settles(3)
    await stand.close()


async def test_the_settlement_says_how_long_the_handler_ran() -> None:
    gate = Gate()
    stand = await a_stand(gate)
    await stand.offer("1")
    await gate.running(1)
    assert stand.lane.oldest_start == stand.clock.now
    stand.clock.now += 7
    gate.release()
    await stand.settles(1)
    assert (stand.settled[0].duration, stand.settled[0].worker) == (7, "worker")
    assert stand.lane.oldest_start is None
    await stand.close()


async def test_a_job_over_its_time_is_cut_off_once() -> None:
    gate = Gate()
    stand = await a_stand(gate, timeout=5)
    await stand.offer("1")
    await gate.running(1)
    stand.clock.now += 5
    stand.lane.watch()
    await asyncio.sleep(0)
    assert gate.ended == []
    stand.clock.now += 0.1
    stand.lane.watch()
    stand.lane.watch()
    await asyncio.sleep(0)
    assert gate.ended == ["1 timeout"]
    await stand.close()


async def test_the_lane_serves_on_after_a_job_was_cut_off() -> None:
    started = asyncio.Event()

    async def first_hangs(job: Job, slot: Slot) -> Outcome:
        started.set()
        if job.payload == "1":
            return await obedient(job, slot)
        await asyncio.sleep(0)
        return SUCCEEDED

    stand = await a_stand(first_hangs, concurrency=1, timeout=0.5)
    await stand.offer("1", "2")
    await started.wait()
    stand.clock.now += 0.6
    stand.lane.watch()
    assert await stand.settles(2) == [("1", "Interrupted"), ("2", "Succeeded")]
    await stand.close()


async def test_a_cut_that_comes_from_inside_the_job_never_hits_the_next_one() -> None:
    async def cuts_itself(job: Job, slot: Slot) -> Outcome:
        if job.payload == "1":
            slot.cut("timeout")
            return SUCCEEDED
        await asyncio.sleep(0)
        return SUCCEEDED

    stand = await a_stand(cuts_itself, concurrency=1)
    await stand.offer("1", "2")
    assert await stand.settles(2) == [("1", "Succeeded"), ("2", "Succeeded")]
    await stand.close()


async def test_jobs_claimed_ahead_go_back_when_the_slots_are_stuck() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1)
    await stand.offer("1", "2", "3")
    await gate.running(1)
    stand.clock.now += STUCK
    stand.lane.watch()
    assert stand.settled == []
    stand.clock.now += 0.1
    stand.lane.watch()
    assert await stand.settles(2) == [("2", "Interrupted"), ("3", "Interrupted")]
    assert stand.lane.buffered == 0
    await stand.close()


async def test_context_variables_never_leak_into_the_next_job() -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen: list[tuple[str, str]] = []

    async def leaky(job: Job, _slot: Slot) -> Outcome:
        seen.append((job.payload, tenant.get()))
        tenant.set(job.payload)
        return SUCCEEDED

    stand = await a_stand(leaky, concurrency=1)
    await stand.offer("1", "2", "3")
    await stand.settles(3)
    assert seen == [("1", "nobody"), ("2", "nobody"), ("3", "nobody")]
    await stand.close()


async def test_a_slot_is_kept_for_the_next_job() -> None:
    tasks: set[object] = set()

    async def note(job: Job, _slot: Slot) -> Outcome:
        tasks.add(asyncio.current_task())
        return SUCCEEDED

    stand = await a_stand(note, concurrency=1)
    for n in range(5):
        await stand.offer(str(n))
        await stand.settles(n + 1)
    assert len(tasks) == 1
    await stand.close()


async def test_a_slot_that_dies_is_replaced_and_its_job_handed_back() -> None:
    async def dies_first(job: Job, _slot: Slot) -> Outcome:
        if job.payload == "1":
            raise asyncio.CancelledError
        return SUCCEEDED

    stand = await a_stand(dies_first, concurrency=1)
    await stand.offer("1", "2")
    assert await stand.settles(2) == [("1", "Interrupted"), ("2", "Succeeded")]
    await stand.close()


async def test_handlers_that_never_await_leave_the_loop_to_others() -> None:
    turns = 0

    async def busy(_job: Job, _slot: Slot) -> Outcome:
        stand.clock.now += TURN * 0.6
        return SUCCEEDED

    async def other() -> None:
        nonlocal turns
        while len(stand.settled) < 20:
            turns += 1
            await asyncio.sleep(0)

    stand = await a_stand(busy, concurrency=1)
    await stand.offer(*(str(n) for n in range(20)))
    async with asyncio.timeout(DEADLINE):
        await other()
    assert turns >= 8, "one turn of the loop for every two jobs"
    await stand.close()


async def test_slots_share_the_jobs() -> None:
    counts: dict[object, int] = {}

    async def note(_job: Job, _slot: Slot) -> Outcome:
        task = asyncio.current_task()
        counts[task] = counts.get(task, 0) + 1
        await asyncio.sleep(0)
        return SUCCEEDED

    stand = await a_stand(note, concurrency=4)
    await stand.offer(*(str(n) for n in range(40)))
    await stand.settles(40)
    assert len(counts) == 4
    assert max(counts.values()) - min(counts.values()) <= 2
    await stand.close()


async def test_losing_the_lease_drops_waiting_and_cuts_running_jobs() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1)
    jobs = await stand.offer("1", "2", "3")
    await gate.running(1)
    assert stand.lane.cut([jobs[0], jobs[2]], "fenced") == 2
    await asyncio.sleep(0)
    assert gate.ended == ["1 fenced"]
    assert [payload for payload, _ in await stand.settles(2)] == ["3", "1"]
    await stand.close()


async def test_a_new_claim_of_a_lost_job_is_not_confused_with_it() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1)
    [job] = await stand.offer("1")
    await gate.running(1)
    assert stand.lane.cut([job._replace(handle=job.handle._replace(claim=99))], "fenced") == 0
    await asyncio.sleep(0)
    assert gate.ended == []
    await stand.close()


async def test_closing_hands_back_what_waits_and_lets_the_running_end() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1)
    await stand.offer('"s"', '"t"', crashes=FINAL)
    await stand.offer("2", "3")
    await gate.running(1)
    stand.lane.close()
    handed_back = await stand.settles(3)
    assert {outcome for _, outcome in handed_back} == {"Interrupted"}
    assert stand.lane.want(1.0) == 0
    gate.release()
    async with asyncio.timeout(DEADLINE):
        await stand.lane.finished()
    assert (await stand.settles(4))[-1][1] == "Succeeded"
    assert len(gate.started) == 1


async def test_idle_slots_end_when_the_lane_closes() -> None:
    stand = await a_stand(immediate, concurrency=3)
    await stand.offer("1", "2", "3")
    await stand.settles(3)
    stand.lane.close()
    async with asyncio.timeout(DEADLINE):
        await stand.lane.finished()


async def test_an_idle_lane_wants_its_free_slots() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=3)
    assert stand.lane.want(0.01) == 3
    await stand.offer("1", "2")
    await gate.running(2)
    assert stand.lane.want(0.01) == 1
    await stand.close()


async def test_a_fast_lane_claims_ahead_by_its_rate_and_a_slow_one_does_not() -> None:
    stand = await a_stand(immediate, concurrency=2)

    def work(jobs: int, seconds: float) -> None:
        for _ in range(40):
            stand.clock.now += seconds
            stand.lane._taken = jobs
            stand.lane.measure()

    work(jobs=100, seconds=0.1)
    assert 20 <= stand.lane.want(0.01) <= 22, "the slots, and 1,000 jobs per second for twice the 10 ms of a claim"
    assert stand.lane.want(0.02) > stand.lane.want(0.01)
    work(jobs=100_000, seconds=0.1)
    assert stand.lane.want(10.0) == CLAIM_AHEAD
    work(jobs=1, seconds=1)
    assert stand.lane.want(0.01) == 2
    await stand.close()


async def test_a_full_buffer_is_not_filled_further() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1)
    await stand.offer("1", "2", "3")
    await gate.running(1)
    assert stand.lane.want(0.01) == 0
    await stand.close()


async def test_an_empty_lane_says_that_it_is_hungry() -> None:
    stand = await a_stand(immediate, concurrency=1)
    await stand.offer("1")
    await stand.settles(1)
    await asyncio.sleep(0)
    assert stand.hungry
    await stand.close()


@pytest.mark.parametrize("reason", ["drain", "fenced", "timeout"])
async def test_the_reason_is_there_when_the_handler_is_cancelled(reason: str) -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1)
    await stand.offer("1")
    await gate.running(1)
    stand.lane.cut_all(reason)
    await asyncio.sleep(0)
    assert gate.ended == [f"1 {reason}"]
    await stand.close()
