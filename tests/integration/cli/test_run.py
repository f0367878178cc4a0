"""`workerpool run` as a real process: drains, cuts cancelled jobs off, counts queues, supervises, reloads, logs."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.integration.cli.conftest import PASSWORD, Shell
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.tables import Tables

START = 90.0
ANSWER = 45.0
"""Seconds that a running command may take for anything; reached only when something is broken."""
APP = '''
"""Long jobs that say how they ended."""
import asyncio
from pathlib import Path
from workerpool import worker

@worker(topic="long", concurrency=2)
async def long(job: dict) -> dict | None:
    Path(f"started-{job['n']}").touch()
    try:
        async with asyncio.timeout(job.get("seconds", 0)):
            await asyncio.Event().wait()
    except TimeoutError:
        return {"version": 1}
    except asyncio.CancelledError:
        Path(f"cut-{job['n']}").touch()
        raise
'''


class Running:
    """A started command with its log and its probe port."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, port: int) -> None:
        self.process, self._log, self._port = process, log, port

    @property
    def log(self) -> str:
        return self._log.read_text()

    def json(self, path: str) -> Any:
        """The JSON of an endpoint, None when nobody answers."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=ANSWER)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            return body if answer.status == 200 else None
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def ready(self) -> "Running":
        """Waits until it consumes."""
        until(lambda: self.process.poll() is not None or self.json("/ready"), START, lambda: self.log)
        assert self.process.poll() is None, self.log
        return self

    def drained(self) -> str:
        """Ends it in order; its log."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(START) == 0, self.log
        return self.log


Start = Callable[..., Running]


@pytest.fixture
def start(shell: Shell, tmp_path: Path) -> Iterator[Start]:
    """Starts `workerpool run` in the project's folder; kills what a failed test leaves."""
    Path("shop.py").write_text(APP)
    started: list[Running] = []

    def run(*words: str) -> Running:
        port, log = free_port(), tmp_path / f"run-{len(started)}.log"
        program = Path(sys.executable).with_name("workerpool")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "run", "--app", "shop", "--probe-port", str(port), *words], stdout=output, stderr=output
            )
        started.append(Running(process, log, port))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_a_cancelled_job_is_cut_off_at_once_and_its_neighbour_runs_on(
    shell: Shell, queue: Tables, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A renewal would find out too, but only after half the lease: here nothing but the notification can be in time.
    monkeypatch.setenv("WORKERPOOL_LEASE_SECONDS", "600")
    runner = start("--all").ready()
    first, second = queue.enqueue("long", [{"n": 1, "seconds": 600}, {"n": 2, "seconds": 600}])
    until(lambda: Path("started-1").exists() and Path("started-2").exists(), START, "both jobs run")
    shown = shell("jobs", "show", first, "--json").json
    assert shown["holder"]["pid"] == runner.process.pid
    assert shell("jobs", "cancel", first).code == 0
    until(lambda: Path("cut-1").exists(), ANSWER, "the handler is cut off")
    assert not Path("cut-2").exists()
    assert shell("jobs", "show", first, "--json").json["state"] == "cancelled"
    assert shell("jobs", "show", second, "--json").json["state"] == "in-flight"
    assert shell("jobs", "cancel", second).code == 0
    until(lambda: Path("cut-2").exists(), ANSWER, "the other handler is cut off")
    runner.drained()
    assert [row["state"] for row in queue.history()] == ["cancelled", "cancelled"]


def test_metrics_as_json_count_the_queue(queue: Tables, start: Start) -> None:
    queue.enqueue("long", [{"n": n, "seconds": 600} for n in range(7)])
    runner = start("long").ready()

    def counts() -> Any:
        found = runner.json("/metrics")
        return found and found["queue"]["waiting"] == 5 and found["queue"]

    assert until(counts, START, lambda: runner.json("/metrics"))["active"] == 2
    runner.process.send_signal(signal.SIGTERM)
    until(lambda: "Draining" in runner.log, START, lambda: runner.log)
    runner.drained()
    assert len(queue.jobs()) == 7


def test_several_processes_share_one_port(queue: Tables, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_PROCESSES", "2")
    runner = start("--all").ready()
    until(lambda: len(queue.query("select pid from workerpool.runner")) == 2, START, lambda: runner.log)
    assert runner.process.pid not in {row["pid"] for row in queue.query("select pid from workerpool.runner")}
    queue.enqueue("long", [{"n": n} for n in range(20)])
    until(lambda: len(queue.history()) == 20, START, lambda: runner.log)
    runner.drained()
    assert queue.query("select pid from workerpool.runner") == []


def test_a_wrong_app_ends_all_processes(queue: Tables, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERPOOL_PROCESSES", "2")
    Path("shop.py").write_text("1 / 0")
    runner = start("--all")
    assert runner.process.wait(START) == 2, runner.log
    assert "ZeroDivisionError" in runner.log
    assert "Traceback" not in runner.log


def test_reload_runs_the_new_code(queue: Tables, start: Start) -> None:
    runner = start("--all", "--reload").ready()
    (before,) = queue.enqueue("long", [{"n": 1}])
    until(lambda: any(row["id"] == before for row in queue.history()), START, lambda: runner.log)

    def changed() -> bool:
        # Written again and again: the watch may begin a moment after the runner is ready.
        Path("shop.py").write_text(APP.replace('"version": 1', '"version": 2'))
        return "reloading" in runner.log

    until(changed, START, lambda: runner.log)
    until(lambda: runner.log.count("Runner started") > 1, START, lambda: runner.log)
    (after,) = queue.enqueue("long", [{"n": 2}])
    until(lambda: any(row["id"] == after for row in queue.history()), START, lambda: runner.log)
    assert {row["id"]: row["result"]["version"] for row in queue.history()} == {before: 1, after: 2}
    runner.drained()


def test_logs_go_to_a_file_as_json_without_the_password(
    guarded: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERPOOL_POOL", "certificates")
    monkeypatch.setenv("WORKERPOOL_LOG_FILE", "logs/run.log")
    runner = start("--all", "--json", "--url", guarded).ready()
    lines = runner.drained().splitlines()
    assert any(json.loads(line)["message"].startswith("Runner started") for line in lines)
    assert all(UUID(json.loads(line)["boot"]) for line in lines)
    assert {json.loads(line)["pool"] for line in lines} == {"certificates"}
    assert Path("logs/run.log").read_text().splitlines() == lines
    assert PASSWORD not in runner.log


def test_children_never_see_the_password_in_their_arguments(
    guarded: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERPOOL_PROCESSES", "2")
    runner = start("--all", "--url", guarded).ready()
    pids = [int(pid) for pid in re.findall(r"started \(pid (\d+)\)", runner.log)]
    assert len(pids) == 2
    for pid in pids:
        assert PASSWORD not in Path(f"/proc/{pid}/cmdline").read_text()
    runner.drained()
