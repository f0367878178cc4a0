"""What stays wrong is logged at first, when it changes, and then ever more seldom."""

import asyncio

import pytest

from tests.support.waiting import eventually
from tests.unit.runner.stage import StageOf
from workerpool.repeats import FIRST_PAUSE, REMEMBERED, Repeats
from workerpool.worker import worker


def test_the_same_is_said_at_growing_intervals() -> None:
    repeats = Repeats()
    said = [now for now in range(2000) if repeats.news("away", now)]
    assert said == [0, 30, 90, 210, 450, 930, 1530]


def test_something_else_is_said_at_once_but_only_once_though_it_alternates() -> None:
    repeats = Repeats()
    said = [
        text
        for now, text in enumerate(["refused", "refused", "no route", "refused", "no route"])
        if repeats.news(text, now)
    ]
    assert said == ["refused", "no route"]


def test_texts_that_never_repeat_fill_no_memory() -> None:
    repeats = Repeats()
    assert all(repeats.news(f"attempt {number}", number) for number in range(REMEMBERED * 3))
    assert not repeats.news(f"attempt {REMEMBERED * 3 - 1}", REMEMBERED * 3)


async def test_a_server_that_stays_away_is_told_once_and_again_later(
    stage_of: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    @worker(topic="orders")
    async def note(order: int) -> None: ...

    async with stage_of(note) as stage:
        stage.source.away = True
        stage.task = asyncio.create_task(stage.runner.run())

        async def tried(times: int) -> None:
            async def often_enough() -> bool:
                return stage.source.log.count("open") >= times

            await eventually(often_enough, f"{times} tries to open")

        await tried(4)
        assert caplog.text.count("Trying again until the server answers") == 1
        stage.clock.now += FIRST_PAUSE
        await tried(6)
        assert caplog.text.count("Trying again until the server answers") == 2
