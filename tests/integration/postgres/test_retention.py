"""History, its retention and the hourly clean-up."""

import asyncio
from typing import Any

import asyncpg

from tests.conformance.engine import Stage
from tests.support.waiting import eventually
from workerpool.outcome import Succeeded

Admin = asyncpg.Connection

MAINTAIN = "select expired, partitions_dropped, rows_dropped from workerpool.maintain(p_every => '0')"
PARTITION = """
do $$
declare v_day date := (now() at time zone 'utc')::date - 10;
begin
  execute format('create table workerpool.%I partition of workerpool.history for values from (%L) to (%L)',
                 'history_' || to_char(v_day, 'YYYYMMDD'), v_day || ' 00:00+00', v_day + 1 || ' 00:00+00');
end $$
"""
LINE = """
insert into workerpool.history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at, started_at,
                                finished_at)
select $1, 1, 'completed', 0, 0, 0, at, at, at, at from (select now() - $2::int * interval '1 day' as at) days
"""
AHEAD = "select to_regclass('workerpool.history_' || to_char((now() at time zone 'utc')::date + 3, 'YYYYMMDD'))"


async def test_history_older_than_the_retention_is_dropped(admin: "Admin[Any]") -> None:
    await admin.execute(PARTITION)
    await admin.execute(LINE, 1, 10)  # into the partition of that day
    await admin.execute(LINE, 2, 30)  # a day without a partition: into the default one
    await admin.execute(LINE, 3, 1)
    row = await admin.fetchrow(MAINTAIN)
    assert row is not None
    assert (row["partitions_dropped"], row["rows_dropped"]) == (1, 1)
    assert [line["id"] for line in await admin.fetch("select id from workerpool.history")] == [3]


async def test_partitions_are_made_ahead(admin: "Admin[Any]") -> None:
    assert await admin.fetchval(AHEAD) is None
    await admin.fetch(MAINTAIN)
    assert await admin.fetchval(AHEAD) is not None
    await admin.fetch(MAINTAIN)


async def test_a_line_of_today_goes_to_the_partition_of_today(admin: "Admin[Any]") -> None:
    await admin.execute(LINE, 1, 0)
    assert await admin.fetchval("select count(*) from workerpool.history_default") == 0
    assert await admin.fetchval("select count(*) from workerpool.history") == 1


async def test_old_events_are_removed(admin: "Admin[Any]") -> None:
    for days in (1, 8):
        await admin.execute(
            "insert into workerpool.event (job_id, at, attempt, state) "
            "values (1, now() - $1::int * interval '1 day', 1, 'x')",
            days,
        )
    await admin.fetch(MAINTAIN)
    assert await admin.fetchval("select count(*) from workerpool.event") == 1


async def test_one_cleaner_at_a_time_and_not_more_often_than_asked(database: str, admin: "Admin[Any]") -> None:
    others = [await asyncpg.connect(database) for _ in range(3)]
    await admin.execute(PARTITION)
    hourly = "select partitions_dropped from workerpool.maintain()"
    dropped = await asyncio.gather(*(other.fetchval(hourly) for other in others))
    assert sum(dropped) == 1
    await admin.execute(PARTITION)
    assert await admin.fetchval(hourly) == 0, "an hour has not passed"
    assert await admin.fetchval("select partitions_dropped from workerpool.maintain(p_every => '0')") == 1
    for other in others:
        await other.close()


async def test_a_running_source_cleans_up_by_itself(stage: Stage, admin: "Admin[Any]") -> None:
    await stage.consumer()

    async def made() -> bool:
        return await admin.fetchval(AHEAD) is not None

    await eventually(made, "the partitions of the days to come")


async def test_a_queue_without_history_keeps_no_lines(stage: Stage, admin: "Admin[Any]") -> None:
    await stage.send("orders", "1", "2")
    await stage.send("parcels", "3")
    await admin.execute("update workerpool.queue set history = false where name = 'orders'")
    consumer = await stage.consumer("orders", "parcels")
    first, second = await consumer.claim()
    await consumer.settle(first)
    await consumer.settle(second, Succeeded("1"))
    await consumer.settle(await consumer.one("parcels"))
    assert await stage.engine.finished("orders") == []
    assert len(await stage.engine.finished("parcels")) == 1


async def test_totals_outlive_runners_and_clean_ups(stage: Stage, admin: "Admin[Any]") -> None:
    for number in range(3):
        await stage.send("orders", str(number))
        consumer = await stage.consumer()
        await consumer.settle(await consumer.one())
        await consumer.source.close()
        await admin.fetch(MAINTAIN)
    assert (await stage.engine.backlog("orders")).completed == 3


async def test_a_runner_is_listed_while_it_lives(stage: Stage, admin: "Admin[Any]") -> None:
    consumer = await stage.consumer("orders", "parcels")

    async def listed() -> bool:
        return bool(await admin.fetchval("select queues = '{orders,parcels}' from workerpool.runner"))

    await eventually(listed, "the runner's own row")
    await consumer.source.close()
    assert await admin.fetchval("select count(*) from workerpool.runner") == 0
