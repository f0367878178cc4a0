"""`workerpool doctor` finds what is really wrong with a real server."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.integration.cli.conftest import Shell
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.postgres import Server
from tests.support.tables import Tables

NAMES = [
    "connection", "version", "schema", "pooler", "notifications", "durability", "transactions", "privileges",
    "autovacuum", "bloat", "connections", "longest job", "queues",
]  # fmt: skip


def level(shell: Shell, name: str) -> tuple[str, str]:
    """Level and text of one check."""
    (found,) = [it for it in shell("doctor", "--json").json["checks"] if it["name"] == name]
    return found["level"], f"{found['detail']} {found['cure']}"


def test_a_healthy_database(shell: Shell, queue: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workerpool.sources.postgres.admin_doctor.LISTEN_SECONDS", 45.0)
    result = shell("doctor")
    assert result.code == 0
    assert [line[6:19].strip() for line in result.out.splitlines() if not line.startswith(" ")] == NAMES
    # The throw-away server of the tests saves itself the fsync, and that is all the doctor finds.
    assert [line for line in result.out.splitlines() if not line.startswith(("ok", " "))] == [
        "warn  durability    fsync is off: a crash of the machine can destroy the data"
    ]


def test_an_unreachable_server_fails(shell: Shell, nowhere: str) -> None:
    result = shell("doctor", "--json")
    assert result.code == 1
    assert result.json["healthy"] is False
    assert [it["name"] for it in result.json["checks"]] == ["connection"]


def test_a_missing_schema_fails_and_spares_the_rest(shell: Shell, empty_database: str) -> None:
    result = shell("doctor", "--url", empty_database)
    assert result.code == 1
    assert "fail  schema        lacks migrations: 1 engine" in result.out
    assert "→ run `workerpool migrate`" in result.out
    assert "autovacuum" not in result.out


def test_an_edited_migration_is_told(shell: Shell, queue: Tables) -> None:
    queue.query("update workerpool.migration set checksum = 'other' where version = 1")
    assert level(shell, "schema") == ("warn", "migration 1 differs from this release compare the releases in use")


def test_autovacuum_switched_off_for_the_hot_table(shell: Shell, queue: Tables) -> None:
    queue.query("alter table workerpool.job set (autovacuum_enabled = false)")
    found, text = level(shell, "autovacuum")
    assert found == "fail"
    assert "alter table workerpool.job reset (autovacuum_enabled)" in text
    assert shell("doctor").code == 1


@pytest.fixture
def forgetful(queue: Tables) -> Iterator[int]:
    """A session that holds a snapshot open; its process id."""
    with closing(psycopg.connect(queue.url, application_name="report of march")) as connection:
        connection.execute("set transaction isolation level repeatable read")
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row
        yield row[0]


def test_an_old_snapshot_is_named(shell: Shell, queue: Tables, forgetful: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert level(shell, "transactions")[0] == "ok"
    monkeypatch.setattr("workerpool.sources.postgres.admin_checks.PINNED_WARN", 0.0)
    found, text = level(shell, "transactions")
    assert found == "warn"
    assert f"report of march (pid {forgetful}, idle in transaction)" in text
    assert f"select pg_terminate_backend({forgetful})" in text


def test_a_queue_that_nobody_serves_is_named(shell: Shell, queue: Tables) -> None:
    shell("enqueue", "orders", "1")
    assert level(shell, "queues") == ("ok", "1 queues, 1 jobs ready ")
    queue.query("update workerpool.job set available_at = now() - interval '5 min'")
    found, text = level(shell, "queues")
    assert found == "warn"
    assert "orders: 1 ready for 5 min and no runner, no worker ever subscribed" in text
    queue.query(
        "insert into workerpool.runner (boot, name, host, pid, queues, slots, version) "
        "values (gen_random_uuid(), 'a', 'b', 1, '{orders}', 1, '1')"
    )
    assert level(shell, "queues")[0] == "ok"


def test_a_job_near_its_timeout_is_told(shell: Shell, queue: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.query(
        "insert into workerpool.history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at, "
        "started_at, finished_at) values (1, 1, 'completed', 0, 0, 0, now(), now(), now() - interval '40 s', now())"
    )
    assert level(shell, "longest job")[0] == "ok"
    monkeypatch.setenv("WORKERPOOL_JOB_TIMEOUT_SECONDS", "45")
    found, text = level(shell, "longest job")
    assert found == "warn"
    assert text.startswith("40 s of 45 s allowed; the lease of 30 s is renewed while a job runs")
    assert text.endswith("raise jobTimeoutSeconds, or make the job smaller")


def test_a_user_without_rights_is_told_which_are_missing(
    shell: Shell, queue: Tables, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_server.execute("create role visitor login")
    try:
        name = queue.url.rpartition("/")[2]
        postgres_server.execute("grant usage on schema workerpool to visitor", name)
        postgres_server.execute("grant select on all tables in schema workerpool to visitor", name)
        monkeypatch.setenv("WORKERPOOL_URL", queue.url.replace("//tests@", "//visitor@"))
        found, text = level(shell, "privileges")
        assert found == "fail"
        assert "to visitor" in text
        postgres_server.execute("grant all on all tables in schema workerpool to visitor", name)
        postgres_server.execute("grant all on all sequences in schema workerpool to visitor", name)
        assert level(shell, "privileges")[0] == "warn"
        postgres_server.execute("grant tests to visitor")
        assert level(shell, "privileges")[0] == "ok"
    finally:
        postgres_server.execute("drop owned by visitor", queue.url.rpartition("/")[2])
        postgres_server.execute("drop role visitor")


def test_a_direct_connection_in_pooled_mode_is_told(
    shell: Shell, queue: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERPOOL_POSTGRES_MODE", "Pooled")
    assert level(shell, "pooler")[0] == "warn"
    assert level(shell, "notifications")[0] == "ok"


@pytest.fixture
def pooler(queue: Tables, postgres_server: Server) -> Iterator[str]:
    """PgBouncer in transaction mode in front of the database; the URL through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "install what the tests need: make system"
    port, name = free_port(), queue.url.rpartition("/")[2]
    with tempfile.TemporaryDirectory(prefix="wp-pooler-") as folder:
        Path(folder).chmod(0o755)
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{name} = host=127.0.0.1 port={postgres_server.port} user=tests\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
            "unix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
        )
        owner = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([program, settings], user=owner, stdout=log, stderr=log)
        try:
            until(lambda: _listens(port), 60, (Path(folder) / "log").read_text)
            yield f"postgresql://tests@127.0.0.1:{port}/{name}"
        finally:
            process.terminate()
            process.wait(45)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_pgbouncer_is_recognised(shell: Shell, pooler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_URL", pooler)
    found, text = level(shell, "pooler")
    assert found == "warn"
    assert "set mode: Pooled" in text
    monkeypatch.setenv("WORKERPOOL_POSTGRES_MODE", "Pooled")
    assert level(shell, "pooler")[0] == "ok"
    assert shell("doctor").code == 0


def test_the_commands_work_through_pgbouncer(shell: Shell, pooler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_URL", pooler)
    monkeypatch.setenv("WORKERPOOL_POSTGRES_MODE", "Pooled")
    first = shell("enqueue", "orders", "1").out.strip()
    assert shell("enqueue", "orders", "-", stdin=b"2\n3\n").out == "2 jobs enqueued on orders\n"
    assert len(shell("jobs", "list", "--json").json) == 3
    assert shell("jobs", "cancel", first).code == 0
    assert shell("jobs", "retry", first).code == 0
    assert shell("jobs", "show", first, "--json").json["state"] == "ready"
    assert shell("dlq", "redrive", "--all").out == "0 dead letters redriven\n"
    assert shell("migrate", "--check").code == 0
