"""The hub in virtual time: who is read when, and who is told."""

import asyncio

import pytest

from tests.support.hub_stage import THERE, Stage, play, watch
from tests.support.virtual_time import until
from workerpool_contract.backlog import Backlog, RunnerReport, Unknown


def test_all_pools_of_an_endpoint_are_one_request_at_the_pace_of_each() -> None:
    async def scenario(stage: Stage) -> None:
        for number in range(100):
            stage.hub.follow(f"fast-{number}", watch(f"q{number}", 5))
        stage.hub.follow("slow", watch("slow", 60))
        await until(62)

    stage = play(scenario)
    [book] = stage.books
    assert book.times == [pytest.approx(n * 5) for n in range(13)]
    assert stage.when_told("fast-7") == book.times
    assert stage.when_told("slow") == [pytest.approx(0), pytest.approx(60)]
    assert [len(queues) for _, queues in book.asked] == [101, *[100] * 11, 101]


def test_pools_that_came_at_different_times_fall_into_step() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 5))
        await until(3)
        stage.hub.follow("b", watch("b", 5))
        await until(29)

    assert [queues for _, queues in play(scenario).books[0].asked][2:] == [["a", "b"]] * 5


def test_a_push_reads_the_queues_of_sleeping_pools_at_once_and_nothing_else() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("asleep", watch("a", 60, asleep=True))
        stage.hub.follow("awake", watch("b", 60))
        await until(10)
        stage.told.clear()
        for queue in ("b", "unknown", "a"):
            stage.books[0].signals.pushed(queue)
        await until(20)

    stage = play(scenario)
    assert stage.books[0].asked[1:] == [(10, ["a"])]
    assert stage.told == [(10, "asleep")]


def test_a_storm_of_pushes_is_one_reading_under_way_and_one_after_it() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60, asleep=True))
        await until(10)
        for step in range(20):
            stage.books[0].signals.pushed("a")
            await until(10 + step / 100)
        await until(20)

    assert play(scenario, takes=0.3).books[0].times == [0, 10, pytest.approx(10.3)]


def test_a_pool_that_stays_asleep_is_read_less_and_less_often() -> None:
    """A threshold that is not reached, or a pause: the jobs keep coming, the readings must not."""

    async def scenario(stage: Stage) -> None:
        async def jobs(first: int, last: int) -> None:
            for step in range(first * 100, last * 100):
                await until(step / 100)
                stage.books[0].signals.pushed("a")

        stage.hub.follow("a", watch("a", 3600, asleep=True))
        await jobs(10, 27)
        await jobs(50, 51)
        stage.hub.follow("a", watch("a", 3600))
        stage.hub.follow("a", watch("a", 3600, asleep=True))

    jobs_kept_coming = [10, 10.1, 10.3, 10.7, 11.5, 13.1, 16.3, 21.3, 26.3]
    after_a_quiet_time = [31.3, 50, 50.1, 50.3, 50.7]
    assert play(scenario).books[0].times == pytest.approx([0, *jobs_kept_coming, *after_a_quiet_time, 50.99], abs=0.02)


def test_falling_asleep_reads_once_more_for_a_push_that_was_ignored() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60))
        await until(10)
        stage.books[0].signals.pushed("a")
        stage.hub.follow("a", watch("a", 60, asleep=True))
        stage.hub.follow("a", watch("a", 60, asleep=True))
        await until(20)

    assert play(scenario).books[0].times == [0, 10]


def test_a_delayed_job_wakes_a_sleeping_pool_when_it_comes_due() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60, asleep=True))
        await until(0)
        stage.books[0].answers["a"] = Backlog(0, delayed=1, next_due=7.0)
        await stage.hub.refresh("a")
        await until(6)
        stage.books[0].answers["a"] = Backlog(1)
        await until(60)

    stage = play(scenario)
    assert stage.books[0].times == [0, 0, 7]
    assert stage.when_told("a") == [0, 7]


def test_unknown_is_tried_again_sooner_but_told_once_per_interval() -> None:
    """Each time that it is told counts as a failed reading, so retries must not count."""

    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 10))
        await until(1)
        stage.books[0].answers["a"] = Unknown("away")
        await until(59)

    stage = play(scenario)
    assert stage.when_told("a") == [0, 10, 20, 30, 40, 50]
    assert stage.books[0].times == [0, 10, 10.5, 11.5, 13.5, 17.5, 20, 30, 40, 50]


def test_a_backlog_that_is_known_again_is_told_at_once() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 10))
        await until(1)
        stage.books[0].answers["a"] = Unknown("away")
        await until(12)
        stage.books[0].answers["a"] = Backlog(3)
        await until(14)
        look = stage.hub.look("a")
        assert look is not None
        assert look.reading == Backlog(3)
        await until(30)

    assert play(scenario).when_told("a") == [0, 10, 13.5, 23.5]


def test_a_lost_connection_is_opened_again_at_once_and_missed_work_is_told() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 3600, asleep=True))
        stage.hub.follow("b", watch("b", 3600))
        await until(100)
        stage.books[0].answers["a"] = Backlog(1)
        stage.books[0].signals.lost()
        await until(101)

    stage = play(scenario)
    assert stage.books[0].times == [0, 100]
    assert (stage.when_told("a"), stage.when_told("b")) == ([0, 100], [0])


def test_reports_are_fetched_for_pools_with_replicas() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60, asleep=True))
        stage.hub.follow("b", watch("b", 60))
        await until(0)
        stage.books[0].runners_of = {"b": (RunnerReport("pod", 2, 1, 0.0), RunnerReport("pod", 2, 2, 0.5))}
        look = await stage.hub.refresh("b")
        assert look is not None
        assert look.reports == {"pod": RunnerReport("pod", 4, 3, 0.0)}
        stage.books[0].runners_of = Unknown("forbidden")
        look = await stage.hub.refresh("b")
        assert look is not None
        assert (look.reading, look.reports) == (Backlog(0), None)

    assert play(scenario).books[0].reported == [["b"]] * 3


def test_refresh_is_a_reading_that_begins_afterwards() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60))
        await until(0.1)
        asked = [asyncio.create_task(stage.hub.refresh("a")) for _ in range(3)]
        looks = await asyncio.gather(*asked)
        assert [look.at for look in looks if look] == [pytest.approx(1.0)] * 3
        forgotten = asyncio.create_task(stage.hub.refresh("a"))
        await until(1.2)
        stage.hub.forget("a")
        assert await forgotten is None
        assert await stage.hub.refresh("a") is None

    assert play(scenario, takes=0.5).books[0].times == [0, 0.5, 1]


def test_a_turn_can_be_put_forward_once() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60))
        stage.hub.follow("b", watch("b", 60))
        await until(10)
        stage.hub.hasten("a", 1)
        await until(10.5)
        stage.hub.hasten("a", 1)
        stage.hub.hasten("nobody", 1)
        await until(72)

    stage = play(scenario)
    assert stage.when_told("a") == [0, 11, 60]
    assert stage.when_told("b") == [0, 60]


def test_a_new_password_opens_before_the_old_one_closes() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", 60))
        stage.hub.follow("b", watch("b", 60))
        await until(10)
        stage.hub.follow("a", watch("a", 60, endpoint=THERE))
        look = stage.hub.look("a")
        assert look is not None
        assert look.at == pytest.approx(0.5)
        await until(20)
        assert stage.books[0].closed is None
        stage.hub.follow("b", watch("b", 60, endpoint=THERE))
        await until(30)

    first, second = play(scenario, takes=0.5).books
    assert second.times == [10, 20]
    assert first.closed == 20


def test_an_endpoint_without_followers_is_closed() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a"))
        await until(1)
        stage.hub.forget("a")
        await until(2)
        assert stage.hub.look("a") is None
        assert stage.books[0].closed == 1

    assert len(play(scenario).books) == 1


def test_counts_as_far_as_the_largest_pool_needs() -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.follow("a", watch("a", cap=10_000))
        stage.hub.follow("b", watch("b", cap=30_000))
        await until(1)

    assert play(scenario).books[0].cap == 30_000
