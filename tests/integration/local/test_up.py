"""`workerpool up -f pools.yaml` as a user runs it: a process of its own, real runners, a real database."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_up import EMPTY, WITHIN, finished, manifest, up
from tests.support.postgres import TEMPLATE, throw_away
from tests.support.waiting import eventually
from workerpool.producer import get_producer

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the user whom Postgres runs as may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="workerpool-up-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


async def test_a_push_wakes_a_pool_at_zero(tmp_path: Path, database: str) -> None:
    path = manifest(tmp_path, "quick")
    path.write_text(path.read_text().replace("pollIntervalSeconds: 1", "pollIntervalSeconds: 3600"))
    async with up(tmp_path, "-f", path, "--url", database, "--json") as it:
        await it.says("asleep", desired=0, reason=EMPTY)
        async with get_producer(database) as producer:
            await producer.send("quick", 21)
        await it.says("awake", desired=1)
        it.process.send_signal(signal.SIGTERM)
        assert await it.ends() == 0


async def test_second_interrupt_ends_at_once(tmp_path: Path, database: str) -> None:
    async with get_producer(database) as producer:
        await producer.send("held", str(tmp_path / "never"))
    told = tmp_path / "told"
    path = manifest(tmp_path, "held")
    async with up(tmp_path, "-f", path, "--url", database, "--json", LOCAL_APP_TELLS=str(told)) as it:

        async def running() -> bool:
            return told.exists()

        await eventually(running, "the job runs", within=WITHIN)
        it.process.send_signal(signal.SIGINT)
        await it.says("draining", event="note")
        it.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(45):  # far less than the job would take
            assert await it.process.wait() == 0


async def test_a_second_up_for_the_project_is_refused(tmp_path: Path, database: str) -> None:
    path = manifest(tmp_path, "quick")
    async with up(tmp_path, "-f", path, "--url", database, "--json") as first:
        await first.says("running", desired=0)
        code, output = await finished(tmp_path, "-f", path, "--url", database)
        assert code == 2
        assert f"process {first.process.pid} already runs `workerpool up` for this project" in output


async def test_without_a_url_the_embedded_database_is_started_and_stopped(open_folder: Path) -> None:
    code, output = await finished(open_folder, "-f", manifest(open_folder, "quick"), "--until-empty")
    assert code == 0, output
    assert "Starting the embedded Postgres" in output
    assert "Stopped quick; no runner is left" in output


async def test_an_app_that_cannot_be_loaded_is_told_with_the_runners_words(tmp_path: Path, database: str) -> None:
    async with get_producer(database) as producer:
        await producer.send("quick", 1)
    path = manifest(tmp_path, "quick")
    path.write_text(path.read_text().replace("local.app", "local.nothing"))
    async with up(tmp_path, "-f", path, "--url", database, "--json") as it:

        async def told() -> bool:
            details = [replica["detail"] for event in it.pools("quick") for replica in event["replicas"]]
            return any("ended with code 2" in detail and "nothing" in detail for detail in details)

        await eventually(told, "the reason", within=WITHIN)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: WorkerPool\nspec: {}\n", "bad.yaml:1: apiVersion: is missing; add it: Group and version"),
        ("a: [", "bad.yaml:1: "),
        ("", "no WorkerPool in it"),
    ],
)
async def test_bad_manifests_end_with_code_2_and_no_traceback(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    code, output = await finished(tmp_path, "-f", path)
    assert code == 2
    assert words in output
    assert "Traceback" not in output


async def test_secrets_of_the_files_are_used_and_never_shown(tmp_path: Path, database: str) -> None:
    url = database.replace("tests@", "tests:hunter2@")
    path = manifest(tmp_path, "quick")
    text = path.read_text().replace("{queue:", "{urlSecretRef: {name: db}, queue:")
    path.write_text(f"{text}kind: Secret\nmetadata: {{name: db}}\nstringData: {{url: '{url}'}}\n")
    code, output = await finished(tmp_path, "-f", path, "--until-empty")
    assert code == 0, output
    assert "hunter2" not in output


async def test_env_file_names_the_database(tmp_path: Path, database: str) -> None:
    (tmp_path / "env").write_text(f"WORKERPOOL_URL={database}\n")
    arguments = ("-f", manifest(tmp_path, "quick"), "--env-file", tmp_path / "env", "--until-empty", "--no-tui")
    code, output = await finished(tmp_path, *arguments)
    assert code == 0, output
    assert "embedded" not in output


async def test_a_database_that_goes_away_takes_no_runner_away(tmp_path: Path) -> None:
    with throw_away() as server:
        url = server.url(TEMPLATE)
        async with get_producer(url) as producer:
            await producer.enqueue_many("held", [str(tmp_path / "release")] * 30)
        async with up(tmp_path, "-f", manifest(tmp_path, "held", most=2), "--url", url, "--json") as it:
            await it.says("grown", pool="held", desired=2)
            before = len(it.events)
            await asyncio.to_thread(server.stop)

            async def unknown() -> bool:
                return any(event["unknown"] for event in it.events[before:])

            await eventually(unknown, "the backlog is unknown", within=WITHIN)
            await asyncio.to_thread(server.start)
            (tmp_path / "release").touch()
            await it.says("back at zero", pool="held", desired=0, replicas=[], reason=EMPTY)
            away = [event for event in it.events[before:] if event["unknown"]]
            assert {event["desired"] for event in away} == {2}
            it.process.send_signal(signal.SIGTERM)
            assert await it.ends() == 0
        rows = server.execute("select state, count(*) from workerpool.history group by 1", TEMPLATE)
    assert rows == [("completed", 30)]
