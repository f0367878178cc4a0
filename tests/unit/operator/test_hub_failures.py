"""The hub in virtual time, when something is out of order."""

import pytest

from tests.support.hub_stage import Stage, play, watch
from tests.support.virtual_time import until
from workerpool_contract.backlog import Backlog, Unknown


def test_a_defect_in_a_reader_is_unknown_and_passes() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 5))
        await until(1)
        stage.books[0].answers = {"a": Backlog(1)}
        stage.books[0].runners_of = {"a": 3}  # type: ignore[dict-item] # what no reader says
        look = await stage.hub.refresh("a")
        assert look is not None
        assert look.reading == Unknown("reading failed: TypeError")
        stage.books[0].runners_of = {}
        await until(10)
        look = stage.hub.look("a")
        assert look is not None
        assert look.reading == Backlog(1)

    play(scenario)


def test_a_defect_in_whoever_is_told_does_not_end_the_readings() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 5))
        stage.hub.follow("b", watch("b", 5))
        stage.broken = {"a"}
        await until(0.1)
        stage.broken = set()
        await until(12)
        assert await stage.hub.refresh("a") is not None

    stage = play(scenario)
    assert stage.books[0].times == [0, 0.5, 5, 10, 12]
    assert stage.when_told("a") == [5, 10]
    assert stage.when_told("b") == [0.5, 5, 10]


def test_an_endpoint_that_is_back_is_noticed_long_before_an_interval_of_an_hour_is_over() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 3600))
        await until(1)
        stage.books[0].answers["a"] = Unknown("away")
        await stage.hub.refresh("a")
        await until(1800)
        stage.books[0].answers["a"] = Backlog(3)
        await until(1831)

    assert play(scenario).when_told("a") == [0, 1, pytest.approx(1815, abs=15)]


def test_an_end_that_comes_together_with_a_push_is_not_lost() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 3600, asleep=True))
        await until(1)
        stage.books[0].signals.pushed("a")

    assert play(scenario).books[0].closed == 1


def test_why_nobody_knows_what_runners_said_is_told_and_asked_again_soon() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 3600))
        stage.hub.follow("b", watch("b", 3600, asleep=True))
        await until(0)
        stage.books[0].runners_of = Unknown("forbidden")
        for key, silence in (("a", "forbidden"), ("b", "")):
            look = await stage.hub.refresh(key)
            assert look is not None
            assert (look.reading, look.reports, look.silence) == (Backlog(0), None, silence)
        stage.books[0].runners_of = {}
        await until(60)
        look = stage.hub.look("a")
        assert look is not None
        assert (look.reports, look.silence) == ({}, "")

    play(scenario)
