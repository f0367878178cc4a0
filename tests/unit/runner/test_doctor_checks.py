"""The doctor's judgement at its limits."""

import pytest

from workerpool.sources import checks
from workerpool.sources.checks import Check, Level, Queue
from workerpool.sources.postgres import admin_checks as judge
from workerpool.sources.postgres.admin_checks import Session
from workerpool.sources.postgres.migrate import SchemaState, available

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("check", "level", "said"),
    [
        (judge.version(130_020), Level.FAIL, "Postgres 13.20"),
        (judge.version(140_000), Level.OK, "Postgres 14.0"),
        (judge.schema(SchemaState((), available(), ()), ()), Level.FAIL, "lacks migrations: 1 engine"),
        (judge.schema(SchemaState((1, 7), (), (7,)), ()), Level.FAIL, "version 7 is newer"),
        (judge.schema(SchemaState((1,), (), ()), (1,)), Level.WARN, "migration 1 differs"),
        (judge.schema(SchemaState((1,), (), ()), ()), Level.OK, "version 1 is current"),
        (judge.pooler(present=True, pooled=False), Level.WARN, "stands in between"),
        (judge.pooler(present=True, pooled=True), Level.OK, "mode is Pooled"),
        (judge.pooler(present=False, pooled=True), Level.WARN, "the connection is direct"),
        (judge.notifications(None), Level.WARN, "hears nothing"),
        (judge.notifications(0.0012), Level.OK, "1.2 ms"),
        (judge.durability("off", "on"), Level.WARN, "fsync is off"),
        (judge.durability("on", "off"), Level.WARN, "loses the last jobs"),
        (judge.durability("on", "remote_write"), Level.OK, "remote_write"),
        (judge.transactions(None), Level.OK, "no old snapshot"),
        (judge.transactions(Session("7", "psql", "active", 299)), Level.OK, "no old snapshot"),
        (judge.transactions(Session("7", "psql", "active", 300)), Level.WARN, "psql (pid 7, active)"),
        (judge.transactions(Session("7", "psql", "active", 3600)), Level.FAIL, "60 min"),
        (judge.transactions(Session("x1", "prepared transaction", "prepared", 9e5)), Level.FAIL, "10 days"),
        (judge.autovacuum(on=False, options=(), dead_rows=0, vacuumed_ago=None), Level.FAIL, "off on this server"),
        (judge.autovacuum(on=True, options=(), dead_rows=500_001, vacuumed_ago=9000), Level.WARN, "last 2 h ago"),
        (judge.autovacuum(on=True, options=(), dead_rows=500_000, vacuumed_ago=None), Level.OK, "never needed"),
        (judge.bloat(0, 64 * MIB, 64 * MIB), Level.OK, "64 MiB"),
        (judge.bloat(1000, 1, 65 * MIB), Level.WARN, "its index 65 MiB"),
        (judge.bloat(1000, 65 * MIB, 1), Level.WARN, "65 MiB"),
        (judge.bloat(1_000_000, 500 * MIB, 80 * MIB), Level.OK, "about 1000000 rows"),
        (judge.connections(100, 79, 5), Level.OK, "room for 5 more"),
        (judge.connections(100, 80, 5), Level.WARN, "80 of 100 in use"),
        (judge.connections(100, 120, 5), Level.WARN, "room for 0 more"),
        (judge.longest(None, 30, 300), Level.OK, "no history yet"),
        (judge.longest(240, 30, 300), Level.OK, "4 min of 300 s allowed"),
        (judge.longest(241, 30, 300), Level.WARN, "is renewed while a job runs"),
        (judge.privileges("bob", "eve", granted=False, owns=False), Level.FAIL, "bob may not"),
        (judge.privileges("bob", "eve", granted=True, owns=False), Level.WARN, "next partition"),
        (judge.privileges("eve", "eve", granted=True, owns=True), Level.OK, "eve may use"),
        (checks.queues([]), Level.OK, "0 queues, 0 jobs ready"),
        (checks.queues([Queue("a", 5, 2, 61, served=True, topics=("a",))]), Level.OK, "2 dead letters"),
        (checks.queues([Queue("a", 5, 0, 60, served=False, topics=("a",))]), Level.OK, "5 jobs ready"),
        (checks.queues([Queue("a", 5, 0, 61, served=False, topics=("a",))]), Level.WARN, "a: 5 ready for 61 s"),
    ],
)
def test_a_measurement_is_judged(check: Check, level: Level, said: str) -> None:
    assert check.level is level
    assert said in check.detail
    assert (check.cure != "") == (level is not Level.OK)


def test_the_cure_for_an_old_transaction_fits_its_kind() -> None:
    session = judge.transactions(Session("7", "psql", "active", 4000))
    prepared = judge.transactions(Session("x1", "prepared transaction", "prepared", 4000))
    assert session.cure == "end it: select pg_terminate_backend(7)"
    assert prepared.cure == "end it: rollback prepared 'x1'"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 days"),
    ],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert checks.duration(seconds) == words
