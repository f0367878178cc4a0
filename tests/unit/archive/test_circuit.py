"""A storage that is away: who waits, who tries, who goes back, and whose fault it is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tests.support.virtual_time import VirtualLoop, run, until
from workerpool.archive.circuit import LONGEST_DELAY, Circuit
from workerpool.archive.faults import Fault, Kind
from workerpool.errors import HandBack, RetryableError, TerminalError

HOLD = 240.0
AWAY = Fault(Kind.AWAY, "connection refused")


@dataclass
class Storage:
    """A storage that a test takes away: ``fault`` is raised while it is set. ``tries``: when it was called."""

    loop: VirtualLoop
    fault: Fault | None = None
    tries: list[float] = field(default_factory=list)
    failures: list[Kind] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def circuit(self, hold: float = HOLD) -> Circuit:
        return Circuit(self.loop.time, hold, self.failures.append)

    async def put(self) -> str:
        self.tries.append(self.loop.time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await until(self.loop.time() + 0.01)
        self.at_once -= 1
        if self.fault is not None:
            raise self.fault
        return "stored"


def play(scenario: Callable[[Storage], Awaitable[None]]) -> None:
    async def scene(loop: VirtualLoop) -> None:
        await scenario(Storage(loop))

    run(scene)


def test_while_it_works_all_go_through_side_by_side() -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        await circuit.run(storage.put)
        assert await asyncio.gather(*(circuit.run(storage.put) for _ in range(20))) == ["stored"] * 20
        assert storage.most_at_once == 20
        assert circuit.is_up

    play(scenario)


def test_an_outage_of_a_minute_loses_nobody_and_one_at_a_time_tries() -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        await circuit.run(storage.put)
        storage.fault = AWAY
        jobs = [asyncio.create_task(circuit.run(storage.put)) for _ in range(20)]
        await until(1.0)
        begun = len(storage.tries)
        storage.most_at_once = 0
        await until(60.0)
        assert storage.most_at_once == 1
        assert len(storage.tries) - begun < 15, "the delay between two tries grows"
        assert circuit.fault is AWAY
        storage.fault = None
        healed = storage.loop.time()
        assert await asyncio.gather(*jobs) == ["stored"] * 20
        assert storage.loop.time() - healed <= LONGEST_DELAY + 1
        assert circuit.fault is None

    play(scenario)


@pytest.mark.parametrize("kind", [Kind.AWAY, Kind.DENIED])
def test_whoever_has_waited_long_enough_goes_back_at_no_cost(kind: Kind) -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        storage.fault = Fault(kind, "no")
        results = await asyncio.gather(*(circuit.run(storage.put) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [HandBack] * 5
        assert storage.loop.time() == pytest.approx(HOLD)
        assert set(storage.failures) == {kind}

    play(scenario)


def test_a_fault_of_one_job_among_many_counts_as_its_own() -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()

        async def poison() -> str:
            await until(storage.loop.time() + 0.01)
            raise AWAY

        async def others() -> None:
            while True:
                await circuit.run(storage.put)
                await until(storage.loop.time() + 1.0)

        busy = asyncio.create_task(others())
        with pytest.raises(RetryableError, match="connection refused"):
            await circuit.run(poison)
        assert storage.loop.time() == pytest.approx(HOLD, abs=1)
        assert len(storage.tries) > 30, "the others went on meanwhile"
        busy.cancel()

    play(scenario)


@pytest.mark.parametrize(("kind", "error"), [(Kind.IMPOSSIBLE, TerminalError), (Kind.REFUSED, RetryableError)])
def test_an_answer_about_this_object_holds_up_nobody_else(kind: Kind, error: type[Exception]) -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        await circuit.run(storage.put)
        storage.fault = Fault(kind, "too large")
        with pytest.raises(error, match="too large"):
            await circuit.run(storage.put)
        assert circuit.is_up
        assert storage.loop.time() < 1

    play(scenario)


def test_a_call_that_hangs_ends_when_its_time_is_over() -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        with pytest.raises(HandBack):
            await circuit.run(asyncio.Event().wait)
        await circuit.run(storage.put)

    play(scenario)


def test_at_a_drain_those_who_wait_go_back_and_uploads_end() -> None:
    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        storage.fault = AWAY
        jobs = [asyncio.create_task(circuit.run(storage.put)) for _ in range(5)]
        await until(10.0)
        circuit.close()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(result) for result in results] == [HandBack] * 5
        assert storage.loop.time() < 10.1
        with pytest.raises(HandBack):
            await circuit.run(storage.put)

        working = storage.circuit()
        storage.fault = None
        await working.run(storage.put)
        upload = asyncio.create_task(working.run(storage.put))
        await until(storage.loop.time() + 0.001)
        working.close()
        assert await upload == "stored"

    play(scenario)


def test_an_outage_is_logged_when_it_lasts_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workerpool.archive")

    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        await circuit.run(storage.put)
        storage.fault = AWAY
        job = asyncio.create_task(circuit.run(storage.put))
        await until(30.0)
        storage.fault = Fault(Kind.AWAY, "the same of another object")
        await until(50.0)
        assert [record.levelname for record in caplog.records] == ["WARNING"], "not once per try"
        storage.fault = None
        await job

    play(scenario)
    assert "takes no objects, so jobs wait and lose no attempt: connection refused" in caplog.text
    assert caplog.records[-1].message.startswith("The S3 server takes objects again, after ")


def test_a_blip_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workerpool.archive")

    async def scenario(storage: Storage) -> None:
        circuit = storage.circuit()
        await circuit.run(storage.put)
        storage.fault = AWAY
        job = asyncio.create_task(circuit.run(storage.put))
        await until(0.03)
        storage.fault = None
        assert await job == "stored"

    play(scenario)
    assert caplog.text == ""
