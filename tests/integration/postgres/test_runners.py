"""What the operator reads of the runner processes: who lives, what each holds, how long a job takes."""

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.conformance.engine import Consumer, Stage
from tests.support.waiting import DEADLINE, eventually
from workerpool.outcome import DeadLetter, DeadReason, Expired, Retry
from workerpool.sources.base import NewJob
from workerpool.sources.postgres.migrate import available
from workerpool_contract.backlog import Backlog, RunnerReport, Unknown
from workerpool_operator.backlog.postgres import PostgresBacklog

if TYPE_CHECKING:
    Admin = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

CAP = 100


async def reports(database: str, *queues: str, cap: int = CAP) -> dict[str, tuple[RunnerReport, ...]]:
    """The runners of these queues, as the operator reads them."""
    reader = PostgresBacklog(database, cap=cap, timeout=DEADLINE)
    try:
        found = await reader.runners(list(queues))
    finally:
        await reader.close()
    assert not isinstance(found, Unknown), found.reason
    return found


async def only(database: str, queue: str = "orders", *, cap: int = CAP) -> RunnerReport:
    """The report of the only runner of this queue, once it has introduced itself."""

    async def introduced() -> bool:
        return len((await reports(database, queue))[queue]) == 1

    await eventually(introduced, f"the one runner of {queue}")
    return (await reports(database, queue, cap=cap))[queue][0]


async def said_goodbye(database: str, consumer: Consumer) -> None:
    """Closes a consumer; it takes itself off the books."""
    await consumer.source.close()
    assert await reports(database, "orders") == {"orders": ()}


async def test_an_idle_runner_is_told_from_a_busy_one_at_once(stage: Stage, database: str) -> None:
    consumer = await stage.consumer()
    idle = await only(database)
    assert (idle.name, idle.slots, idle.busy, idle.service_seconds) == ("runner-0", 10, 0, None)
    assert 0 <= idle.age < 30
    await stage.send("orders", "1", "2", "3")
    jobs = await consumer.claim(limit=2)
    assert (await only(database)).busy == 2
    for job in jobs:
        await consumer.settle(job)
    assert (await only(database)).busy == 0
    await said_goodbye(database, consumer)


async def test_a_process_of_several_queues_is_as_busy_on_each(stage: Stage, database: str) -> None:
    consumer = await stage.consumer("orders", "invoices")
    await stage.send("invoices", "1")
    await consumer.claim("invoices")
    await only(database)
    found = await reports(database, "orders", "invoices", "never seen")
    assert [it.busy for it in found["orders"]] == [1]
    assert [it.busy for it in found["invoices"]] == [1]
    assert found["never seen"] == ()


async def test_a_lease_that_ran_out_keeps_nobody_busy(stage: Stage, database: str) -> None:
    consumer = await stage.consumer()
    await stage.send("orders", "1")
    await consumer.claim()
    assert (await only(database)).busy == 1
    await stage.lose(consumer)
    assert (await only(database)).busy == 0


async def test_the_mean_time_of_a_job_counts_what_ran(stage: Stage, database: str) -> None:
    consumer = await stage.consumer()
    await stage.send("orders", "1", "2", "3", "4")
    done, retried, dead, expired = await consumer.claim()
    await consumer.settle(done, duration=1.0)
    await consumer.settle(retried, Retry(60.0, "no"), duration=2.0)
    await consumer.settle(dead, DeadLetter(DeadReason.ERROR, "no"), duration=6.0)
    await consumer.settle(expired, Expired(), duration=0.0)

    async def told() -> bool:
        return (await only(database)).failed == 3

    await eventually(told, "the report of the counts")
    report = await only(database)
    assert (report.completed, report.failed) == (1, 3)
    assert report.service_seconds == pytest.approx(3.0)


async def test_a_runner_that_vanished_is_left_out_once_it_holds_nothing(
    stage: Stage, database: str, admin: Admin
) -> None:
    boot = "00000000-0000-0000-0000-000000000001"
    await admin.execute(
        "insert into workerpool.runner (boot, name, host, pid, queues, slots, version, seen_at) "
        "values ($1, 'gone', 'h', 1, array['orders'], 5, '0', now() - interval '61 s')",
        boot,
    )
    assert await reports(database, "orders") == {"orders": ()}
    await stage.send("orders", "1")
    await admin.execute(
        "update workerpool.job set boot = $1, claim = 1, lease_until = now() + interval '30 s'",
        boot,
    )
    found = await only(database)
    assert (found.name, found.busy) == ("gone", 1)
    assert found.age == pytest.approx(61, abs=30)


async def test_behind_a_deep_backlog_a_runner_is_as_busy_as_it_says(
    stage: Stage, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of a higher priority came after it claimed: its lease is out of the reader's sight."""
    monkeypatch.setattr("workerpool.sources.postgres.upkeep.HEARTBEAT", 3600.0)  # it is told without one
    consumer = await stage.consumer()
    assert (await only(database)).busy == 0
    await stage.send("orders", "1")
    await consumer.one()
    await stage.send("orders", *(NewJob(str(n), priority=5) for n in range(20)))

    async def seen() -> bool:
        return (await only(database, cap=10)).busy == 1

    await eventually(seen, "the runner's own word that it is busy")
    assert (await only(database, cap=50)).busy == 1


async def test_processes_of_one_replica_are_reports_of_one_name(database: str, admin: Admin) -> None:
    await admin.execute(
        "insert into workerpool.runner (boot, name, host, pid, queues, slots, version) "
        "select gen_random_uuid(), 'pod-1', 'h', n, array['orders'], 5, '0' from generate_series(1, 3) n"
    )
    assert [it.name for it in (await reports(database, "orders"))["orders"]] == ["pod-1"] * 3


async def test_without_the_second_migration_backlogs_are_read_and_runners_unknown(
    empty_database: str,
) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute("set client_min_messages = warning")
    await connection.execute(available()[0].sql)
    await connection.close()
    reader = PostgresBacklog(empty_database, cap=CAP, timeout=DEADLINE)
    try:
        assert await reader.read(["orders"]) == {"orders": Backlog(0)}
        found = await reader.runners(["orders"])
        assert isinstance(found, Unknown)
        assert found.reason.endswith("lacks the tables of this release; run `workerpool migrate`")
        assert await reader.read(["orders"]) == {"orders": Backlog(0)}
    finally:
        await reader.close()


async def test_without_the_right_to_read_runners_pushes_still_arrive(stage: Stage, database: str, admin: Admin) -> None:
    role = f"reader_of_{database.rpartition('/')[2]}"
    await admin.execute(f"create role {role}; grant usage on schema workerpool to {role}")
    await admin.execute(f"grant select on all tables in schema workerpool to {role}")
    await admin.execute("revoke execute on function workerpool.runners from public")
    pushed: list[str] = []
    reader = PostgresBacklog(f"{database}?role={role}", cap=CAP, timeout=DEADLINE, on_push=pushed.append)
    try:
        assert await reader.read(["orders"]) == {"orders": Backlog(0)}
        found = await reader.runners(["orders"])
        assert isinstance(found, Unknown)
        assert found.reason.endswith("forbids reading the schema workerpool; grant usage and execute")
        await stage.send("orders", "1")

        async def told() -> bool:
            return pushed == ["orders"]

        await eventually(told, "a push on the same connection")
    finally:
        await reader.close()
        await admin.execute(f"drop owned by {role}; drop role {role}")


async def test_an_unreachable_database_is_unknown(database: str) -> None:
    reader = PostgresBacklog(database.replace("/test_", "/no_"), cap=CAP, timeout=DEADLINE)
    found = await reader.runners(["orders"])
    assert isinstance(found, Unknown)
    assert "has no such database" in found.reason
