"""Several processes behind one: restarts, drains, the death of the parent, and probes that speak for all."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import eventually
from workerpool.children import Command
from workerpool.supervisor import Supervisor, SupervisorSettings

PROGRAM = Path(__file__).with_name("child_program.py")
DEADLINE = 60.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent waits for slow answers of its children: where nobody is stopped, none is to be called silent."""
    monkeypatch.setattr("workerpool.aggregate.ASK_SECONDS", 30.0)


def supervisor(folder: Path, mode: str = "ok", processes: int = 2, grace: float = DEADLINE) -> Supervisor:
    command = Command([sys.executable, str(PROGRAM), str(folder), mode], dict(os.environ))
    settings = SupervisorSettings(
        command=command, processes=processes, grace=grace, probe_host="127.0.0.1", probe_port=0
    )
    return Supervisor(settings, clock=monotonic, now=lambda: datetime.now(UTC))


async def happens(condition: Callable[[], bool], what: str) -> None:
    """Waits for ``condition`` in a thread, so that the supervisor's loop runs on."""

    async def look() -> bool:
        return await asyncio.to_thread(condition)

    await eventually(look, what, within=DEADLINE)


def ask(port: int, path: str, accept: str = "*/*") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request("GET", path, headers={"Accept": accept})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


async def ask_json(port: int, path: str) -> tuple[int, Any]:
    status, body = await asyncio.to_thread(ask, port, path, "application/json")
    return status, json.loads(body)


async def all_ready(subject: Supervisor, processes: int) -> None:
    def look() -> bool:
        found = json.loads(ask(subject.probe_port, "/health")[1])["processes"]
        return [child.get("status") for child in found] == ["healthy"] * processes

    await happens(lambda: subject.probe_port != 0, "the parent listens")
    await happens(look, f"{processes} healthy children")


def diaries(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.iterdir()]


@pytest.mark.usefixtures("patient")
async def test_children_run_are_probed_as_one_and_drain_once(tmp_path: Path) -> None:
    subject = supervisor(tmp_path)
    running = asyncio.create_task(subject.run())
    await all_ready(subject, 2)
    port = subject.probe_port
    health = (await ask_json(port, "/health"))[1]
    assert health["worker"] == {
        "isRunning": True, "queueName": "q", "queues": ["q"], "concurrency": 6, "busy": 2, "buffered": 4,
        "completed": 2, "failed": 0, "draining": False, "pid": os.getpid(), "boot": health["worker"]["boot"],
        "oldestJobSeconds": None, "serviceSeconds": 0.5,
    }  # fmt: skip
    assert {child["pid"] for child in health["processes"]} == set(subject.pids)
    assert (await ask_json(port, "/live"))[0] == 200
    assert (await ask_json(port, "/ready"))[0] == 200
    queue = (await ask_json(port, "/metrics"))[1]["queue"]
    assert queue == {"waiting": None, "active": 2, "completed": 2, "failed": 0, "delayed": None}
    text = (await asyncio.to_thread(ask, port, "/metrics"))[1]
    in_flight = next(f for f in text_string_to_metric_families(text) if f.name == "workerpool_jobs_in_flight")
    assert [sample.labels for sample in in_flight.samples] == [{"process": "0"}, {"process": "1"}]
    subject.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 0
    assert diaries(tmp_path) == ["processes=1 port=0\nSIGTERM\n"] * 2


async def test_sigterm_and_sigint_drain(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        subject = supervisor(tmp_path, processes=1)
        running = asyncio.create_task(subject.run())
        await all_ready(subject, 1)
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(running, DEADLINE) == 0
    assert [diary.count("SIGTERM") for diary in diaries(tmp_path)] == [1, 1]


@pytest.mark.usefixtures("patient")
async def test_a_killed_child_is_started_again_and_its_sibling_runs_on(tmp_path: Path) -> None:
    subject = supervisor(tmp_path)
    running = asyncio.create_task(subject.run())
    await all_ready(subject, 2)
    victim, sibling = subject.pids
    os.kill(victim, signal.SIGKILL)
    await happens(lambda: victim not in subject.pids, "the dead child is noticed")
    assert (await ask_json(subject.probe_port, "/live"))[0] == 200
    await all_ready(subject, 2)
    assert sibling in subject.pids
    subject.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 0


async def test_a_child_that_crashes_at_start_is_started_again(tmp_path: Path) -> None:
    subject = supervisor(tmp_path, "crash", processes=1)
    running = asyncio.create_task(subject.run())
    await all_ready(subject, 1)
    subject.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 0
    assert len(diaries(tmp_path)) == 2


async def test_a_child_that_refuses_its_configuration_ends_the_runner(tmp_path: Path) -> None:
    assert await asyncio.wait_for(supervisor(tmp_path, "config").run(), DEADLINE) == 2


async def test_a_stuck_child_makes_live_fail(tmp_path: Path) -> None:
    subject = supervisor(tmp_path)
    running = asyncio.create_task(subject.run())
    await all_ready(subject, 2)
    victim = subject.pids[0]
    os.kill(victim, signal.SIGSTOP)

    def told() -> bool:
        status, body = ask(subject.probe_port, "/live", "application/json")
        return (status, [child["status"] for child in json.loads(body)["processes"]]) == (503, ["silent", "live"])

    await happens(told, "one child is silent, and the other one lives")
    await happens(lambda: ask(subject.probe_port, "/ready")[0] == 200, "the other one is ready")
    os.kill(victim, signal.SIGCONT)
    subject.stop()
    await asyncio.wait_for(running, DEADLINE)


@pytest.mark.parametrize(("grace", "stops"), [(0.2, 1), (10 * DEADLINE, 2)], ids=["grace over", "asked twice"])
async def test_a_child_that_does_not_drain_is_killed(tmp_path: Path, grace: float, stops: int) -> None:
    subject = supervisor(tmp_path, "stubborn", processes=1, grace=grace)
    running = asyncio.create_task(subject.run())
    await all_ready(subject, 1)
    for _ in range(stops):
        subject.stop()
    assert await asyncio.wait_for(running, DEADLINE) == 1


PARENT = """
import asyncio, os, sys
from datetime import UTC, datetime
from time import monotonic
from workerpool.children import Command
from workerpool.supervisor import Supervisor, SupervisorSettings
command = Command([sys.executable, sys.argv[1], sys.argv[2], "ok"], dict(os.environ))
settings = SupervisorSettings(command=command, processes=2, grace=30, probe_host="127.0.0.1", probe_port=0)
asyncio.run(Supervisor(settings, clock=monotonic, now=lambda: datetime.now(UTC)).run())
"""


async def test_children_drain_and_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(PROGRAM), str(tmp_path)]
    parent = subprocess.Popen(command)  # noqa: ASYNC220 - nothing else runs in this loop
    watched = psutil.Process(parent.pid)
    await happens(lambda: len(watched.children()) == 2 and len(diaries(tmp_path)) == 2, "two children write")
    children = watched.children()
    await happens(lambda: all(len(child.threads()) > 2 for child in children), "both children watch their parent")
    parent.kill()
    parent.wait(DEADLINE)
    gone, alive = await asyncio.to_thread(psutil.wait_procs, children, DEADLINE)
    assert len(gone) == 2
    assert alive == []
    assert [diary.count("SIGTERM") for diary in diaries(tmp_path)] == [1, 1]
