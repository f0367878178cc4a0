"""`workerpool migrate` and what other commands say when it was not run."""

import pytest

from tests.integration.cli.conftest import Shell
from tests.support.tables import Tables


def test_plan_check_and_run(shell: Shell, empty_database: str) -> None:
    tables = Tables(empty_database)
    url = ("--url", empty_database)
    plan = shell("migrate", "--plan", *url)
    assert plan.code == 0
    assert plan.out.startswith("-- 0001_engine.sql\n")
    assert "create table workerpool.job" in plan.out
    before = shell("migrate", "--check", *url)
    assert before.code == 4
    assert "lacks 0001_engine.sql" in before.out
    assert tables.query("select to_regnamespace('workerpool') as it") == [{"it": None}]
    assert "applied 0001_engine.sql" in shell("migrate", *url).out
    after = shell("migrate", "--check", "--json", *url)
    assert (after.code, after.json["current"], after.json["pending"]) == (0, True, [])
    again = shell("migrate", *url)
    assert (again.code, again.out.rstrip()[-10:]) == (0, "is current")
    assert "Nothing to do" in shell("migrate", "--plan", *url).err


COMMANDS = (
    ("jobs", "list"),
    ("jobs", "show", 1),
    ("jobs", "retry", 1),
    ("jobs", "cancel", 1),
    ("dlq", "list"),
    ("dlq", "redrive", "--all"),
    ("dlq", "drop", "--all", "--yes"),
    ("enqueue", "orders", "1"),
    ("enqueue", "orders", "-"),
)


def test_a_missing_migration_is_told_with_its_cure(shell: Shell, empty_database: str) -> None:
    for words in COMMANDS:
        result = shell(*words, "--url", empty_database, stdin=b"1")
        assert result.code == 4, words
        assert "run `workerpool migrate`" in result.err
        assert "Traceback" not in result.err


def test_a_newer_database_is_told_with_its_cure(shell: Shell, queue: Tables) -> None:
    queue.query("insert into workerpool.migration (version, name, checksum) values (9999, 'later', 'x')")
    for words in (*COMMANDS, ("migrate",), ("migrate", "--check"), ("migrate", "--plan")):
        result = shell(*words, stdin=b"1")
        assert result.code == 4, words
        assert "9999" in result.err
        assert "upgrade workerpool" in result.err


def test_plan_and_check_exclude_each_other(shell: Shell, nowhere: str) -> None:
    assert shell("migrate", "--plan", "--check").code == 2


@pytest.mark.parametrize("flag", ["--check", "--plan"])
def test_looking_changes_nothing(shell: Shell, empty_database: str, flag: str) -> None:
    shell("migrate", flag, "--url", empty_database)
    assert Tables(empty_database).query("select to_regnamespace('workerpool') as it") == [{"it": None}]
