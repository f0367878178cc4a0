"""The local platform with real processes: start, victims, drain, crash, silence, and never an orphan."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.waiting import eventually
from workerpool_contract.environment import RunnerSettings
from workerpool_contract.spec import WorkerPool
from workerpool_operator.local.logfiles import ROTATE_AT, LogFollower, rotate
from workerpool_operator.local.processes import Access, LocalPlatform, Surroundings
from workerpool_operator.local.replica import Plan, Replica
from workerpool_operator.platform import PoolState, ReplicaState, ReplicaView

HERE = Path(__file__).parent
SECRET_URL = "postgresql://user:hunter2@db/x"
WITHIN = 120.0
IMPATIENT = {"liveness": {"periodSeconds": 1, "failureThreshold": 1}}
OUTGOING = 32_768
"""The first port that Linux gives to outgoing connections, unless it is told otherwise."""


def pool(probes: Mapping[str, Any], **worker: Any) -> WorkerPool:
    """A pool named p."""
    body = {"source": {"postgres": {"queue": "q"}}, "worker": {"app": "a", **worker}, "probes": probes}
    manifest = {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": {"name": "p"}, "spec": body}
    return WorkerPool.model_validate(manifest)


@dataclass
class Rig:
    """A platform over fake runners and the folder that they share with the test."""

    platform: LocalPlatform
    folder: Path
    pool: WorkerPool
    seen: list[PoolState] = field(default_factory=list)

    async def reach(self, condition: Callable[[PoolState], bool], what: str) -> PoolState:
        """Looks until ``condition`` holds."""

        async def holds() -> bool:
            self.seen.append(await self.platform.observe(self.pool))
            return condition(self.seen[-1])

        await eventually(holds, what, within=WITHIN)
        return self.seen[-1]

    def reasons(self, start: str) -> set[str]:
        """What was seen so far of why replicas back off, where it begins like this; each is there for a moment only."""
        views = [view for state in self.seen for view in state.replicas if view.state is ReplicaState.BACKOFF]
        return {view.detail for view in views if view.detail.startswith(start)}

    async def scale(self, replicas: int) -> PoolState:
        """Scales and waits until as many are ready and no other is left."""
        await self.platform.scale(self.pool, replicas)
        return await self.reach(lambda s: s.ready == len(s.replicas) == replicas, f"{replicas} ready")

    def busy(self, name: str, jobs: int) -> None:
        """Makes a replica say that it runs ``jobs`` jobs."""
        (self.folder / f"busy-{name}").write_text(str(jobs))

    def pid(self, name: str) -> int:
        """The process of a replica."""
        return int((self.folder / f"pid-{name}").read_text())

    def log(self, name: str) -> str:
        """What a replica wrote."""
        return (self.folder / "logs" / f"{name}.log").read_text()


@asynccontextmanager
async def rig(
    folder: Path, mode: str = "ok", *, probes: Mapping[str, Any] | None = None, **worker: Any
) -> AsyncIterator[Rig]:
    """A platform whose runners are fakes in ``mode``; everything is ended afterwards."""
    surroundings = Surroundings(
        logs=folder / "logs",
        environ={**os.environ, "WORKERPOOL_QUEUE": "from the parent", "MAX_RETRIES": "77"},
        base=RunnerSettings(),
        accesses={"p": Access(SECRET_URL)},
        command=(sys.executable, str(HERE / "fake_runner.py"), str(folder), mode),
    )
    platform = LocalPlatform(surroundings, time.monotonic)
    try:
        yield Rig(platform, folder, pool(probes or {}, **worker))
    finally:
        platform.kill()
        await platform.close()


def names(state: PoolState) -> set[str]:
    """The names of the replicas."""
    return {view.name for view in state.replicas}


async def test_scale_in_takes_the_idle_one_and_drains_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.scale(3)
        it.busy("p-1", 2)
        it.busy("p-3", 1)
        await it.reach(lambda s: sorted(v.busy or 0 for v in s.replicas) == [0, 1, 2], "busy counts are seen")
        assert names(await it.scale(2)) == {"p-1", "p-3"}
        assert names(await it.scale(1)) == {"p-1"}
        assert "p-2 drained" in it.log("p-2")
        assert names(await it.scale(2)) == {"p-1", "p-2"}


async def test_close_drains_everything(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.scale(2)
        pids = [it.pid("p-1"), it.pid("p-2")]
        await it.platform.close()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert await it.platform.observe(it.pool) == PoolState()


async def test_secrets_and_settings_travel_in_the_environment_only(tmp_path: Path) -> None:
    async with rig(tmp_path, concurrency=4) as it:
        await it.scale(1)
        process = psutil.Process(it.pid("p-1"))
        environ = process.environ()
        assert "hunter2" not in " ".join(process.cmdline())
        assert environ["WORKERPOOL_URL"] == SECRET_URL
        assert environ["WORKERPOOL_QUEUE"] == "q"
        assert environ["WORKERPOOL_CONCURRENCY"] == "4"
        assert "MAX_RETRIES" not in environ
        assert int(environ["WORKERPOOL_PROBE_PORT"]) < OUTGOING


async def test_a_crashed_runner_waits_and_comes_back_with_its_reason(tmp_path: Path) -> None:
    async with rig(tmp_path, "crash") as it:
        await it.platform.scale(it.pool, 1)
        words = "ended with code 3: the last word; starts again after"
        await it.reach(lambda _: len(it.reasons(words)) > 1, "two back-offs, not of the same length")
        await it.platform.scale(it.pool, 0)
        await it.reach(lambda s: not s.replicas, "no replica is left")


async def test_a_back_off_has_its_reason_until_there_is_a_process_again(tmp_path: Path) -> None:
    command = (sys.executable, str(HERE / "fake_runner.py"), str(tmp_path), "crash")
    replica = Replica(Plan("crash", command, RunnerSettings(), os.environ, tmp_path / "log"), time.monotonic)
    replica.start()
    reasons: set[str] = set()
    async with asyncio.timeout(WITHIN):
        while len(reasons) < 2:
            view = replica.view()
            if view.state is ReplicaState.BACKOFF:
                reasons.add(view.detail)
            await asyncio.sleep(0)
    replica.kill()
    await replica.ended()
    assert all(reason.startswith("ended with code 3") for reason in reasons)


async def test_a_killed_runner_is_started_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.scale(1)
        first = it.pid("p-1")
        os.kill(first, signal.SIGKILL)
        await it.reach(lambda _: bool(it.reasons("was ended by SIGKILL")), "a back-off")
        await it.reach(lambda s: s.ready == 1 and it.pid("p-1") != first, "a new process")


async def test_a_silent_runner_may_be_busy_and_is_replaced_after_its_liveness_period(tmp_path: Path) -> None:
    async with rig(tmp_path, probes=IMPATIENT) as it:
        await it.scale(1)
        first = it.pid("p-1")
        os.kill(first, signal.SIGSTOP)
        await it.reach(lambda s: s.replicas[0].state is ReplicaState.SILENT, "it is silent")
        await it.reach(lambda _: bool(it.reasons("did not answer its probes for 1 s")), "it was killed")
        await it.reach(lambda s: s.ready == 1 and it.pid("p-1") != first, "a new process")


async def test_a_drain_ends_at_its_timeout(tmp_path: Path) -> None:
    command = (sys.executable, str(HERE / "fake_runner.py"), str(tmp_path), "stubborn")
    settings = RunnerSettings(drain_timeout=0.2)
    plan = Plan("stubborn", command, settings, os.environ, tmp_path / "log", margin=0.1)
    replica = Replica(plan, time.monotonic)
    replica.start()

    async def ready() -> bool:
        return (await replica.look()).state is ReplicaState.READY

    await eventually(ready, "it is ready", within=WITHIN)
    replica.stop()
    assert (await replica.look()).state is ReplicaState.DRAINING
    async with asyncio.timeout(WITHIN):
        await replica.ended()
    assert replica.gone


async def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    plan = Plan("x", ("unused",), RunnerSettings(), {}, blocked / "log")
    replica = Replica(plan, time.monotonic)
    replica.start()
    views: list[ReplicaView] = []

    async def backs_off() -> bool:
        views.append(await replica.look())
        return views[-1].state is ReplicaState.BACKOFF

    await eventually(backs_off, "a back-off", within=WITHIN)
    assert views[-1].detail.startswith("could not be started: File exists")
    replica.kill()
    await replica.ended()


async def test_runners_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, str(HERE / "orphan.py"), str(tmp_path))
    told = tmp_path / "orphan.log"

    async def started() -> bool:
        return (tmp_path / "pid-orphan").exists() and (tmp_path / "pid-orphan").read_text() != ""

    await eventually(started, "the runner runs", within=WITHIN)
    runner = psutil.Process(int((tmp_path / "pid-orphan").read_text()))
    parent.kill()
    await parent.wait()
    await asyncio.to_thread(runner.wait, WITHIN)
    assert told.exists()


def test_log_follower_gives_new_complete_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("old\n")
    follower = LogFollower(tmp_path)
    with (tmp_path / "a.log").open("a") as log:
        log.write("one\ntw")
        log.flush()
        assert follower.poll() == ["a | one"]
        log.write("o\n")
    (tmp_path / "b.log").write_text("three\n")
    assert follower.poll() == ["a | two", "b | three"]
    (tmp_path / "a.log").write_text("new\n")
    assert follower.poll() == ["a | new"]


def test_a_log_is_rotated_under_its_writer_and_followed_across(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    follower = LogFollower(tmp_path)
    with path.open("ab", buffering=0) as log:
        log.write(b"the first\n")
        rotate(path, limit=100)
        assert follower.poll() == ["a | the first"]
        log.write(b"x" * 200 + b"\n")
        rotate(path, limit=100)
        log.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert follower.poll() == ["a | " + "x" * 200, "a | new"]


async def test_the_log_of_a_running_replica_stays_small(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.scale(1)
        path = tmp_path / "logs" / "p-1.log"
        with path.open("ab") as log:
            log.truncate(ROTATE_AT + 1)
        await it.platform.observe(it.pool)
        assert path.stat().st_size < ROTATE_AT
