"""Jobs that crashed before are marked before they start, and those on their last chance run one at a time."""

import asyncio

import pytest

from tests.unit.runner.stand import Gate, SlowMark, a_stand
from workerpool.lanes import STUCK
from workerpool.sources.base import Job

FINAL = 2
"""Crashes after which a further one ends a job (the default limit is 3)."""


async def test_a_job_that_is_being_marked_when_the_lane_closes_goes_back() -> None:
    gate = Gate()
    stand = await a_stand(gate, make_source=SlowMark)
    source = stand.source
    assert isinstance(source, SlowMark)
    await stand.offer("1", crashes=FINAL)
    await source.asked.wait()
    stand.lane.close()
    source.go.set()
    assert await stand.settles(1) == [("1", "Interrupted")]
    assert gate.started == []
    await stand.close()


@pytest.mark.parametrize("reason", ["fenced", "drain"])
@pytest.mark.parametrize("crashes", [1, FINAL])
async def test_a_job_that_is_cut_off_while_it_is_being_marked_never_starts(reason: str, crashes: int) -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=1, make_source=SlowMark)
    source = stand.source
    assert isinstance(source, SlowMark)
    [job] = await stand.offer("1", crashes=crashes)
    await source.asked.wait()
    assert (stand.lane.busy, stand.lane.want(0.0)) == (1, 0)
    stand.lane.cut([job], reason)
    assert await stand.settles(1) == [("1", "Interrupted")]
    source.go.set()
    await stand.offer("2", crashes=crashes)
    await gate.running(1)
    assert [job.payload for job in gate.started] == ["2"]
    assert stand.lane.busy == 1
    await stand.close()


async def test_a_cut_that_marking_swallows_still_keeps_the_job_from_starting() -> None:
    class Stubborn(SlowMark):
        async def mark(self, job: Job) -> bool:
            try:
                return await super().mark(job)
            except asyncio.CancelledError:
                return True

    gate = Gate()
    stand = await a_stand(gate, concurrency=1, make_source=Stubborn)
    source = stand.source
    assert isinstance(source, Stubborn)
    [job] = await stand.offer("1", crashes=FINAL)
    await source.asked.wait()
    stand.lane.cut([job], "fenced")
    assert await stand.settles(1) == [("1", "Interrupted")]
    assert (gate.started, stand.lane.busy) == ([], 0)
    await stand.close()


async def test_jobs_on_their_last_chance_run_one_at_a_time_beside_the_others() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=3)
    await stand.offer('"suspect 1"', '"suspect 2"', crashes=FINAL)
    await stand.offer("1", "2")
    await gate.running(3)
    assert sorted(job.payload for job in gate.started) == ['"suspect 1"', "1", "2"]
    gate.release(next(job for job in gate.started if job.crashes))
    await gate.running(4)
    assert gate.started[-1].payload == '"suspect 2"'
    await stand.close()


async def test_one_long_job_on_its_last_chance_does_not_keep_the_other_slots_idle() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=3)
    await stand.offer(*(f'"suspect {n}"' for n in range(4)), crashes=FINAL)
    await gate.running(1)
    assert stand.lane.want(0.0) == 2
    await stand.offer("1", "2")
    await gate.running(3)
    assert stand.lane.want(0.0) == 0
    await stand.close()


async def test_waiting_jobs_on_their_last_chance_are_not_hoarded() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=3)
    await stand.offer(*(f'"suspect {n}"' for n in range(4)), crashes=FINAL)
    await gate.running(1)
    claims = 0
    while wanted := stand.lane.want(0.0):
        await stand.offer(*(["0"] * wanted), crashes=FINAL)
        claims += 1
    assert (claims, stand.lane.buffered) == (1, 5)
    await stand.close()


async def test_jobs_behind_a_long_one_on_its_last_chance_go_back_once_in_a_while_all_but_a_few() -> None:
    gate = Gate()
    stand = await a_stand(gate, concurrency=2)
    await stand.offer(*(f'"suspect {n}"' for n in range(6)), crashes=FINAL)
    await gate.running(1)
    stand.clock.now += STUCK
    stand.lane.watch()
    assert stand.settled == []
    stand.clock.now += 0.1
    stand.lane.watch()
    assert await stand.settles(3) == [(f'"suspect {n}"', "Interrupted") for n in (5, 4, 3)]
    assert (stand.lane.buffered, stand.lane.want(0.0)) == (2, 1)
    await stand.offer('"suspect 3"', crashes=FINAL)
    stand.lane.watch()
    assert (len(stand.settled), stand.lane.buffered, stand.lane.want(0.0)) == (3, 3, 0)
    await stand.close()


async def test_a_job_that_crashed_before_is_marked_before_it_starts() -> None:
    gate = Gate()
    stand = await a_stand(gate)
    [job] = await stand.offer("1", crashes=FINAL)
    await gate.running(1)
    row = stand.engine.held(job.handle.boot, job)
    assert row is not None
    assert row.marked
    await stand.close()


async def test_a_job_that_cannot_be_marked_never_starts() -> None:
    gate = Gate()
    stand = await a_stand(gate)
    jobs = await stand.claim("1", "2", crashes=FINAL)
    stand.engine.settle(jobs[0].handle.boot, [])
    stolen = jobs[0]._replace(handle=jobs[0].handle._replace(claim=99))
    stand.lane.offer([stolen, jobs[1]])
    await gate.running(1)
    assert [job.payload for job in gate.started] == ["2"]
    assert await stand.settles(1) == [("1", "Interrupted")]
    await stand.close()
