"""The hub in virtual time, on a source that pushes nothing: it looks at sleeping pools by itself."""

import pytest

from tests.support.hub_stage import Stage, play, watch
from tests.support.virtual_time import until
from workerpool_contract.backlog import Backlog


def test_work_for_a_sleeping_pool_is_told_at_the_next_glance() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60, asleep=True, glance=1.0))
        await until(10.5)
        stage.books[0].answers["a"] = Backlog(3)
        await until(19.5)

    stage = play(scenario)
    assert stage.when_told("a") == [pytest.approx(0), pytest.approx(11)]
    assert stage.books[0].times == [pytest.approx(n) for n in range(20)]


def test_more_work_is_told_again_and_the_same_is_not() -> None:
    """A paused pool, say, or one below its threshold."""

    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60, asleep=True, glance=1.0))
        for at, work in ((5, 3), (10, 4), (15, 1), (20, 2)):
            await until(at + 0.5)
            stage.books[0].answers["a"] = Backlog(work)
        await until(30)

    assert play(scenario).when_told("a") == [pytest.approx(at) for at in (0, 6, 11, 21)]


def test_glances_at_many_pools_are_one_request() -> None:
    async def scenario(stage: Stage) -> None:
        for number in range(50):
            await until(number / 100)
            stage.hub.follow(f"p{number}", watch(f"q{number}", 60, asleep=True, glance=1.0))
        await until(10)

    asked = [len(queues) for at, queues in play(scenario).books[0].asked if at > 2]
    assert asked == [50] * len(asked)
    assert len(asked) <= 9


def test_a_pool_that_runs_is_not_glanced_at() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 5, asleep=True, glance=1.0))
        await until(3.5)
        stage.hub.follow("a", watch("a", 5, asleep=False, glance=1.0))
        await until(20.5)

    assert [at for at in play(scenario).books[0].times if at > 4] == [pytest.approx(at) for at in (5, 10, 15, 20)]


def test_a_slow_source_is_glanced_at_less_often() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 600, asleep=True, glance=1.0))
        await until(58)

    times = play(scenario, takes=1.0).books[0].times
    assert times == [pytest.approx(at) for at in range(0, 60, 6)]
