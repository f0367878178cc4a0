"""`workerpool up -f pools.yaml` as a user runs it: a process of its own, real runners, a real database."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.support.postgres import TEMPLATE, throw_away
from tests.support.waiting import eventually
from workerpool.producer import get_producer

ROOT = Path(__file__).parents[3]
WITHIN = 90.0
EMPTY = "0 ready and 0 in flight, at 10 per replica: 0"
POOL = """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: QUEUE}
spec:
  source: {postgres: {queue: QUEUE}}
  worker: {app: tests.integration.local.app, jobTimeoutSeconds: 60}
  scaling: {maxReplicas: MOST, backlogPerReplica: 10, pollIntervalSeconds: 1, scaleDown: {stabilizationSeconds: 0}}
---
"""


@dataclass
class Up:
    """A running `workerpool up --json` and what it wrote so far."""

    process: Process
    events: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    async def follow(self) -> None:
        """Reads until the end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode().rstrip()
            if text.startswith("{"):
                self.events.append(json.loads(text))
            else:
                self.other.append(text)

    def pools(self, name: str) -> list[dict[str, Any]]:
        """The events of one pool."""
        return [event for event in self.events if event.get("pool") == name]

    def runners(self) -> list[psutil.Process]:
        """The runner processes."""
        return psutil.Process(self.process.pid).children()

    async def says(self, what: str, **facts: Any) -> None:
        """Waits for an event that has these facts."""

        async def said() -> bool:
            assert self.process.returncode is None, self.other
            return any(event.items() >= facts.items() for event in self.events)

        await eventually(said, f"{what}; last: {self.events[-1:]} {self.other}", within=WITHIN)

    async def ends(self) -> int:
        """The exit code."""
        async with asyncio.timeout(WITHIN):
            return await self.process.wait()


def manifest(folder: Path, *queues: str, most: int = 3) -> Path:
    """A file with one pool per queue."""
    path = folder / "pools.yaml"
    path.write_text("".join(POOL.replace("QUEUE", queue).replace("MOST", str(most)) for queue in queues))
    return path


@asynccontextmanager
async def up(folder: Path, *arguments: str | Path, **environ: str) -> AsyncIterator[Up]:
    """Runs the command with its state in ``folder``; ended afterwards in any case."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workerpool", "up", *map(str, arguments)),
        cwd=ROOT,
        env={**os.environ, "WORKERPOOL_STATE_DIR": str(folder / "state"), **environ},
        stdout=PIPE,
        stderr=STDOUT,
    )
    it = Up(process)
    following = asyncio.create_task(it.follow())
    try:
        yield it
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await following


async def finished(folder: Path, *arguments: str | Path, **environ: str) -> tuple[int, str]:
    """Exit code and output of a run that ends by itself."""
    async with up(folder, *arguments, **environ) as it:
        code = await it.ends()
    return code, "\n".join([*it.other, *(str(event) for event in it.events)])


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the user whom Postgres runs as may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="workerpool-up-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


async def test_two_pools_grow_from_zero_and_go_back(tmp_path: Path, database: str) -> None:
    async with get_producer(database) as producer:
        await producer.enqueue_many("quick", range(100))
        await producer.enqueue_many("slow", [0.5, 0.5])
    async with up(tmp_path, "-f", manifest(tmp_path, "quick", "slow"), "--url", database, "--json") as it:
        await it.says("grown", pool="quick", desired=3)
        for name in ("quick", "slow"):
            await it.says("back at zero", pool=name, desired=0, replicas=[], reason=EMPTY)
        it.process.send_signal(signal.SIGTERM)
        assert await it.ends() == 0
    assert max(len(event["replicas"]) for event in it.pools("quick")) == 3
    assert max(len(event["replicas"]) for event in it.pools("slow")) == 1
    with psycopg.connect(database) as connection:
        rows = connection.execute("select state, count(*) from workerpool.history group by 1").fetchall()
    assert rows == [("completed", 102)]
    assert "100 ready and 0 in flight, at 10 per replica: 10; then 3: maxReplicas 3" in {
        event["reason"] for event in it.pools("quick")
    }


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


async def test_interrupt_finishes_running_jobs_and_leaves_nothing(tmp_path: Path, database: str) -> None:
    async with get_producer(database) as producer:
        await producer.send("slow", 3)
    async with up(tmp_path, "-f", manifest(tmp_path, "slow"), "--url", database, "--json") as it:

        async def running() -> bool:
            return any(event["backlog"]["inFlight"] == 1 for event in it.pools("slow") if event["backlog"])

        await eventually(running, "the job runs", within=WITHIN)
        runners = it.runners()
        assert runners
        it.process.send_signal(signal.SIGINT)
        assert await it.ends() == 0
        assert not any(runner.is_running() for runner in runners)
    with psycopg.connect(database) as connection:
        rows = connection.execute("select state, attempts, crashes from workerpool.history").fetchall()
    assert rows == [("completed", 0, 0)]


async def test_second_interrupt_ends_at_once(tmp_path: Path, database: str) -> None:
    async with get_producer(database) as producer:
        await producer.send("slow", 50)
    async with up(tmp_path, "-f", manifest(tmp_path, "slow"), "--url", database, "--json") as it:

        async def running() -> bool:
            return any(event["backlog"]["inFlight"] == 1 for event in it.pools("slow") if event["backlog"])

        await eventually(running, "the job runs", within=WITHIN)
        it.process.send_signal(signal.SIGINT)
        await it.says("draining", event="note")
        it.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
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
            await producer.enqueue_many("slow", [0.2] * 30)
        async with up(tmp_path, "-f", manifest(tmp_path, "slow", most=2), "--url", url, "--json") as it:
            await it.says("grown", pool="slow", desired=2)
            before = len(it.events)
            await asyncio.to_thread(server.stop)

            async def unknown() -> bool:
                return any(event["unknown"] for event in it.pools("slow"))

            await eventually(unknown, "the backlog is unknown", within=WITHIN)
            await asyncio.to_thread(server.start)
            await it.says("back at zero", pool="slow", desired=0, replicas=[], reason=EMPTY)
            away = [event for event in it.events[before:] if event["unknown"]]
            assert {event["desired"] for event in away} == {2}
            it.process.send_signal(signal.SIGTERM)
            assert await it.ends() == 0
        rows = server.execute("select state, count(*) from workerpool.history group by 1", TEMPLATE)
    assert rows == [("completed", 30)]
