"""The benchmark harness measures a real runner on a real server. Nothing here says how fast anything has to be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTENDER = "WorkerPool"


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.postgres
def test_a_quick_run_measures_everything_and_writes_the_page(tmp_path: Path) -> None:
    run = _bench("--quick", "--only", CONTENDER, "--results", str(tmp_path), "--docs", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    (results,) = tmp_path.glob("*.jsonl")
    machine, *records = (json.loads(line) for line in results.read_text().splitlines())
    assert machine["machine"]["settings"]["synchronous_commit"] == "on"
    assert {record["measure"] for record in records} == {"throughput", "latency", "enqueue", "sleep"}
    for record in records:
        assert record["error"] == ""
        if record["measure"] == "throughput":
            assert record["values"]["handled"] == record["values"]["jobs"]
            assert record["values"]["wal_work"] > 0
            assert record["values"]["commits_work"] > 0
    assert f"| {CONTENDER}" in (tmp_path / "benchmarks.md").read_text()
    assert CONTENDER in (tmp_path / "benchmarks.svg").read_text()


def test_every_contender_is_listed() -> None:
    listing = _bench("--list").stdout
    for name in (CONTENDER, "procrastinate", "pgqueuer", "oban", "graphile-worker"):
        assert f"\n{name} (" in f"\n{listing}"


def test_an_unknown_contender_is_refused_with_the_known_ones() -> None:
    run = _bench("--only", "celery")
    assert run.returncode != 0
    assert "--only 'celery': unknown, choose from" in run.stderr
    assert "graphile-worker" in run.stderr
