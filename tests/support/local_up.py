"""A `workerpool up` that runs as a user's does, and what it says."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
WITHIN = 240.0
"""Seconds that anything may take, whole runs too; files that wait for several things say how long their tests may."""
EMPTY = "0 ready and 0 in flight, at 10 per replica: 0"
POOL = """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: QUEUE}
spec:
  source: {SOURCE: {queue: QUEUE}}
  worker: {app: tests.integration.local.app, jobTimeoutSeconds: 600}
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


def manifest(folder: Path, *queues: str, most: int = 3, source: str = "postgres") -> Path:
    """A file with one pool per queue of this kind of source."""
    path = folder / "pools.yaml"
    pools = (POOL.replace("SOURCE", source).replace("QUEUE", queue).replace("MOST", str(most)) for queue in queues)
    path.write_text("".join(pools))
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
