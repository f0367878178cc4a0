"""Results as JSON lines: first the machine, then one record a line, written as they come."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.environments import pinned_versions
from benchmarks.model import Record
from benchmarks.server import Server, fdatasync_microseconds

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclasses.dataclass(frozen=True)
class Results:
    """One run: what it ran on, and what it measured."""

    machine: Mapping[str, Any]
    records: tuple[Record, ...]


class Writer:
    """Appends lines to a results file."""

    def __init__(self, path: Path, machine: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        path.write_text(json.dumps({"machine": machine}) + "\n", encoding="utf-8")

    def write(self, record: Record) -> None:
        """Append one record."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(record)) + "\n")


def read(path: Path) -> Results:
    """The results in a file."""
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    return Results(json.loads(first)["machine"], tuple(Record(**json.loads(line)) for line in lines))


def newest() -> Path:
    """The newest committed results."""
    found = sorted(RESULTS.glob("*.jsonl"))
    if not found:
        raise SystemExit(f"no results in {RESULTS}: run `python -m benchmarks` first")
    return found[-1]


def describe(server: Server, scale: str, core: int) -> dict[str, Any]:
    """The machine, the server's settings and the versions."""
    asked = ["fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "full_page_writes", "checkpoint_timeout"]
    with psycopg.connect(server.database("postgres"), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS asked(name)", [asked]
        ).fetchall()
        postgres = connection.info.parameter_status("server_version")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "scale": scale,
        "core": core,
        **machine(),
        "fdatasync_us": round(fdatasync_microseconds(server.directory)) if server.directory else None,
        "postgres": postgres,
        "settings": dict(rows),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "versions": pinned_versions() | {"project asyncpg": version("asyncpg"), "project uvloop": version("uvloop")},
    }


def machine() -> dict[str, Any]:
    """The machine, its Python and this checkout."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _processor() -> str:
    """The processor's name as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of this checkout, with a mark when files differ from it."""
    command = ["git", "-C", str(HERE.parent), "describe", "--always", "--dirty", "--abbrev=10"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
