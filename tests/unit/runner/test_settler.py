"""The settler loses no outcome: not while the server is away, not for one outcome that it refuses, not at the end."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.waiting import DEADLINE
from workerpool import settler as module
from workerpool.errors import ConfigError, PayloadError, SchemaError, SourceError, SourceUnavailable
from workerpool.outcome import SUCCEEDED, DeadLetter, Interrupted, Outcome, Succeeded
from workerpool.settler import BATCH, Settler
from workerpool.sources.base import Job, PartlySettled, Settlement
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemorySource


def a_settlement(number: int, outcome: Outcome = SUCCEEDED) -> Settlement:
    """The outcome of job ``number``."""
    job = Job("orders", number, 0, 0, 0, "1", None, 0.0, False, None)
    return Settlement(job, outcome, 0.1, "worker")


Answer = Callable[[Sequence[Settlement]], Sequence[Job]]


class Server(MemorySource):
    """A source whose every exchange is answered by ``answer``, from the settlements to the stale jobs."""

    def __init__(self, answer: Answer = lambda _batch: []) -> None:
        super().__init__(MemoryEngine(lambda: 0.0))
        self.answer = answer
        self.batches: list[list[int]] = []
        self.stored: dict[int, Outcome] = {}
        self.gate: asyncio.Event | None = None

    async def settle(self, settlements: Sequence[Settlement]) -> list[Job]:
        self.batches.append([it.job.id for it in settlements])
        if self.gate is not None:
            await self.gate.wait()
        stale = self.answer(settlements)
        self.stored.update((it.job.id, it.outcome) for it in settlements)
        return list(stale)


@dataclass
class Told:
    """What the settler reported."""

    done: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)

    def __call__(self, settlements: Sequence[Settlement], stale: Sequence[Job]) -> None:
        self.done += [it.job.id for it in settlements]
        self.stale += [job.id for job in stale]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off takes one turn of the loop instead of its seconds."""

    class Hasty:
        @staticmethod
        def uniform(_low: float, _high: float) -> float:
            return 0.0

    monkeypatch.setattr(module, "random", Hasty)


async def finish(settler: Settler) -> None:
    """Runs the settler until everything is settled."""
    task = asyncio.create_task(settler.run())
    async with asyncio.timeout(DEADLINE):
        await settler.drained()
        settler.close()
        await task


async def settled(answer: Answer, *outcomes: Outcome) -> tuple[Server, Told]:
    """What the server got, and what was told, when all ``outcomes`` (of the jobs 0, 1, 2 …) are settled."""
    server, told = Server(answer), Told()
    settler = Settler(server, told)
    for number, outcome in enumerate(outcomes):
        settler.add(a_settlement(number, outcome))
    await finish(settler)
    return server, told


async def test_outcomes_are_settled_and_reported() -> None:
    server, told = Server(), Told()
    settler = Settler(server, told)
    for number in range(3):
        settler.add(a_settlement(number))
    assert settler.backlog == 3
    await finish(settler)
    assert (server.batches, told.done, told.stale) == ([[0, 1, 2]], [0, 1, 2], [])
    assert settler.backlog == 0


async def test_what_comes_during_an_exchange_goes_with_the_next() -> None:
    server = Server()
    server.gate = asyncio.Event()
    settler = Settler(server, Told())
    task = asyncio.create_task(settler.run())
    settler.add(a_settlement(1))
    while not server.batches:  # noqa: ASYNC110 - one turn of the loop, not a pause
        await asyncio.sleep(0)
    settler.add(a_settlement(2))
    settler.add(a_settlement(3))
    server.gate.set()
    async with asyncio.timeout(DEADLINE):
        await settler.drained()
    assert server.batches == [[1], [2, 3]]
    settler.close()
    await task


async def test_what_comes_to_an_idle_settler_is_waited_for() -> None:
    told = Told()
    settler = Settler(Server(), told)
    task = asyncio.create_task(settler.run())
    async with asyncio.timeout(DEADLINE):
        await settler.drained()
        settler.add(a_settlement(1))
        await settler.drained()
    assert told.done == [1]
    settler.close()
    await task


async def test_batches_are_bounded() -> None:
    server = Server()
    settler = Settler(server, Told())
    for number in range(BATCH * 2 + 1):
        settler.add(a_settlement(number))
    await finish(settler)
    assert [len(batch) for batch in server.batches] == [BATCH, BATCH, 1]


async def test_stale_outcomes_are_told() -> None:
    _, told = await settled(lambda batch: [batch[1].job], SUCCEEDED, SUCCEEDED)
    assert told.stale == [1]


@pytest.mark.parametrize(
    "error", [SourceUnavailable("away"), SchemaError("being migrated"), ConfigError("password changed")]
)
async def test_an_outage_loses_nothing_and_keeps_the_order(error: Exception) -> None:
    failures = [error] * 5

    def answer(_batch: Sequence[Settlement]) -> Sequence[Job]:
        if failures:
            raise failures.pop()
        return []

    server, told = await settled(answer, *[SUCCEEDED] * 4)
    assert sorted(told.done) == [0, 1, 2, 3]
    assert all(isinstance(outcome, Succeeded) for outcome in server.stored.values())


async def test_after_a_broken_exchange_our_own_first_try_is_no_lost_lease() -> None:
    """The server may have carried out an exchange whose answer never arrived."""
    failures = [SourceUnavailable("connection lost")]

    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if failures:
            raise failures.pop()
        return [it.job for it in batch]

    _, told = await settled(answer, SUCCEEDED)
    assert (told.done, told.stale) == ([0], [])


async def test_a_lease_that_was_lost_during_an_outage_is_told() -> None:
    """Outcomes that were not part of the broken exchange can't have been settled by it."""
    told = Told()

    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if len(batch) == 1:
            settler.add(a_settlement(2))
            settler.add(a_settlement(3))
            raise SourceUnavailable("connection lost")
        return [it.job for it in batch if it.job.id != 3]

    settler = Settler(Server(answer), told)
    settler.add(a_settlement(1))
    await finish(settler)
    assert (told.done, told.stale) == ([1, 2, 3], [2])


async def test_a_broken_exchange_is_forgotten_once_its_outcomes_were_taken() -> None:
    failures = [SourceUnavailable("connection lost")]
    told = Told()

    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if failures:
            raise failures.pop()
        if told.done:
            return [it.job for it in batch]
        settler.add(a_settlement(1))
        return []

    settler = Settler(Server(answer), told)
    settler.add(a_settlement(1))
    await finish(settler)
    assert (told.done, told.stale) == ([1, 1], [1])


async def test_an_answer_that_is_lost_while_settling_one_by_one_is_no_lost_lease() -> None:
    failures: list[Exception] = [SourceUnavailable("connection lost"), SourceError("odd")]

    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if failures:
            raise failures.pop()
        return [it.job for it in batch]

    _, told = await settled(answer, SUCCEEDED, SUCCEEDED)
    assert (told.done, told.stale) == ([0, 1], [1])


async def test_during_an_outage_nothing_more_is_claimed() -> None:
    server = Server(lambda _batch: (_ for _ in ()).throw(SourceUnavailable("away")))
    settler = Settler(server, Told())
    settler.add(a_settlement(1))
    assert not settler.congested
    task = asyncio.create_task(settler.run())
    async with asyncio.timeout(DEADLINE):
        while not settler.congested:  # noqa: ASYNC110 - one turn of the loop, not a pause
            await asyncio.sleep(0)
        server.answer = lambda _batch: []
        await settler.drained()
    assert not settler.congested
    settler.close()
    await task


@pytest.mark.parametrize(
    "error", [SourceError("invalid input"), PayloadError("invalid input"), RuntimeError("invalid input")]
)
async def test_one_outcome_that_the_server_refuses_does_not_hold_up_the_others(error: Exception) -> None:
    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if any(it.outcome == Succeeded("poison") for it in batch):
            raise error
        return []

    server, told = await settled(answer, *[SUCCEEDED] * 4, Succeeded("poison"), *[SUCCEEDED] * 4)
    assert sorted(told.done) == list(range(9))
    refused = server.stored.pop(4)
    assert isinstance(refused, DeadLetter)
    assert "invalid input" in refused.error
    assert set(server.stored.values()) == {SUCCEEDED}


async def test_an_outage_while_settling_one_by_one_loses_nothing() -> None:
    failures: list[Exception] = [SourceUnavailable("away"), SourceError("odd")]

    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if failures and len(batch) != 2:
            raise failures.pop()
        return []

    server, told = await settled(answer, *[SUCCEEDED] * 3)
    assert sorted(told.done) == [0, 1, 2]
    assert set(server.stored.values()) == {SUCCEEDED}


async def test_what_can_not_even_be_buried_is_left_to_its_lease_and_told() -> None:
    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        if any(it.job.id == 1 for it in batch):
            raise SourceError("odd")
        return []

    server, told = await settled(answer, *[SUCCEEDED] * 3)
    assert (sorted(told.done), told.stale, sorted(server.stored)) == ([0, 1, 2], [1], [0, 2])


async def test_closing_waits_for_what_is_still_to_be_settled() -> None:
    server = Server()
    server.gate = asyncio.Event()
    settler = Settler(server, Told())
    settler.add(a_settlement(1, Interrupted()))
    settler.close()
    task = asyncio.create_task(settler.run())
    while not server.batches:  # noqa: ASYNC110 - one turn of the loop, not a pause
        await asyncio.sleep(0)
    assert not task.done()
    server.gate.set()
    async with asyncio.timeout(DEADLINE):
        await task
    assert server.stored == {1: Interrupted()}


async def test_outcomes_that_are_refused_wait_alone_and_are_sent_again() -> None:
    """Neither the other outcomes nor claims wait for them, and those that were taken are not sent again."""
    refusals = 3
    told = Told()

    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        nonlocal refusals
        refused = [it for it in batch if it.job.id in {1, 3}]
        if refused and refusals:
            refusals -= 1
            raise PartlySettled(SourceUnavailable("full"), [it.job for it in batch if it.job.id == 2], refused)
        assert not settler.congested
        return []

    server = Server(answer)
    settler = Settler(server, told)
    for number in range(5):
        settler.add(a_settlement(number))
    await finish(settler)
    assert (told.done, told.stale) == ([0, 2, 4, 1, 3], [2])
    assert server.batches == [[0, 1, 2, 3, 4], [1, 3], [1, 3], [1, 3]]
    assert settler.backlog == 0


async def test_a_queue_whose_outcomes_are_refused_without_end_is_not_claimed_from() -> None:
    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        raise PartlySettled(SourceUnavailable("full"), [], batch)

    settler = Settler(Server(answer), Told())
    for number in range(BATCH):
        settler.add(a_settlement(number))
    task = asyncio.create_task(settler.run())
    async with asyncio.timeout(DEADLINE):
        while not settler.held_up("orders"):  # noqa: ASYNC110 - one turn of the loop, not a pause
            await asyncio.sleep(0)
    assert (settler.held_up("parcels"), settler.congested) == (False, False)
    task.cancel()


async def test_of_a_batch_only_the_outcome_that_can_not_be_stored_is_buried() -> None:
    def answer(batch: Sequence[Settlement]) -> Sequence[Job]:
        poison = [it for it in batch if it.outcome == Succeeded("poison")]
        if poison:
            raise PartlySettled(PayloadError("no such name"), [], poison)
        return []

    server, told = await settled(answer, SUCCEEDED, Succeeded("poison"), SUCCEEDED)
    assert (sorted(told.done), told.stale) == ([0, 1, 2], [])
    assert [len(batch) for batch in server.batches] == [3, 1, 1]
    assert isinstance(server.stored[1], DeadLetter)
