"""The harness on RabbitMQ measures a real runner on a real broker. Nothing here says how fast anything has to be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTENDER = "WorkerPool"


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.rabbitmq", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850, check=False)


@pytest.mark.rabbitmq
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("s3_program")
def test_a_quick_run_measures_everything_and_writes_the_section(tmp_path: Path) -> None:
    run = _bench("--quick", "--only", CONTENDER, "--results", str(tmp_path), "--docs", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    (results,) = tmp_path.glob("*.jsonl")
    _machine, *records = (json.loads(line) for line in results.read_text().splitlines())
    assert {record["measure"] for record in records} == {"noop", "archive", "kill", "profile"}
    for record in records:
        assert record["error"] == ""
        # After a kill, what comes twice may still be in the queue when the harness has seen enough.
        if record["measure"] == "kill":
            assert record["values"]["lost"] == 0
        elif record["measure"] != "profile":
            assert record["values"]["left"] == 0
    assert f"| {CONTENDER}" in (tmp_path / "benchmarks.md").read_text().partition("## On RabbitMQ")[2]
    assert CONTENDER in (tmp_path / "benchmarks-rabbitmq.svg").read_text()


def test_every_contender_is_listed() -> None:
    listing = _bench("--list").stdout.splitlines()
    assert {CONTENDER, "FastStream", "TaskIQ", "Dramatiq", "Celery", "aio-pika alone", "aiormq alone"} <= set(listing)


def test_an_unknown_contender_is_refused_with_the_known_ones() -> None:
    run = _bench("--only", "pgqueuer")
    assert run.returncode != 0
    assert "--only 'pgqueuer': unknown, choose from" in run.stderr
    assert "FastStream" in run.stderr
