"""The runner's image at work: real containers, a real Postgres, real signals."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cluster.images.build import EXAMPLE, RUNNER
from tests.cluster.images.docker import Docker
from tests.cluster.images.places import ROOT
from tests.images.containers import RESTRICTED, Container, started
from tests.support.patience import until
from tests.support.witness import ENV_GATES, ENV_WITNESS, Witness
from workerpool_contract.names import ENV_APP, ENV_DRAIN_TIMEOUT, ENV_PROCESSES, ENV_QUEUE, ENV_URL

ORPHANS = """
import subprocess
from workerpool import worker

OUTLIVES_ITS_SHELL = "while kill -0 $$; do :; done >/dev/null 2>&1 & echo $!"

@worker(topic="orphans", executor="process", concurrency=1)
def leave(payload: dict) -> dict:
    return {"pid": int(subprocess.check_output(["sh", "-c", OUTLIVES_ITS_SHELL]))}
"""
"""Its handler leaves a process behind, which ends when it has become a child of the container's first process."""
SECONDS = 60.0

# Whichever test comes first builds the images, where the run has not done that before.
pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]


def _enqueue(docker: Docker, url: str, queue: str, payload: object) -> int:
    """Puts a job on the queue with the command that is in the runner's image too; its id."""
    command = (RUNNER, "enqueue", queue, json.dumps(payload))
    return int(docker.run("run", "--rm", *RESTRICTED, f"--env={ENV_URL}={url}", *command))


def _result(url: str, job: int, container: Container) -> Any:
    """What the job returned, once it is completed."""

    def row() -> tuple[Any, ...] | None:
        assert container.is_running(), f"the runner ended: {container.logs()[-3000:]}"
        with psycopg.connect(url) as connection:
            return connection.execute("select state, result from workerpool.history where id = %s", [job]).fetchone()

    state, result = until(row, SECONDS, lambda: f"job {job} ends: {container.logs()[-3000:]}")
    assert state == "completed", container.logs()[-3000:]
    return result


def test_variables_alone_start_the_workers_of_the_pool(docker: Docker, database: str) -> None:
    job = _enqueue(docker, database, "python-files", {"path": "/app/examples/ast/workers.py", "module": "workers"})
    with started(docker, EXAMPLE, {ENV_URL: database, ENV_QUEUE: "python-files"}) as container:
        measured = _result(database, job, container)
    assert measured["lines"] == (ROOT / "examples" / "ast" / "workers.py").read_text().count("\n")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_sigterm_lets_the_running_job_finish_and_ends_with_0(
    docker: Docker, database: str, tmp_path: Path, processes: str
) -> None:
    tmp_path.chmod(0o777)
    witness = Witness(tmp_path / "witness")
    environ = {
        ENV_URL: database,
        ENV_APP: "tests.support.crash_app",
        ENV_QUEUE: "gated",
        ENV_PROCESSES: processes,
        ENV_DRAIN_TIMEOUT: "60",
        ENV_WITNESS: "/witness/witness",
        ENV_GATES: "/witness",
    }
    job = _enqueue(docker, database, "gated", {"n": 1})
    with started(docker, RUNNER, environ, [(ROOT / "tests", "/app/tests:ro"), (tmp_path, "/witness")]) as container:
        until(lambda: witness.keys("start"), SECONDS, lambda: f"the job starts: {container.logs()[-3000:]}")
        container.ready()
        container.terminate()
        until(lambda: not container.is_ready(), SECONDS, "the runner drains")
        assert witness.keys("finish") == set()
        (tmp_path / "gate").touch()
        assert container.exit_code() == 0, container.logs()[-3000:]
    with psycopg.connect(database) as connection:
        assert connection.execute("select id, state from workerpool.history").fetchall() == [(job, "completed")]
    assert witness.keys("finish") == {1}


def test_orphans_of_handlers_are_reaped(docker: Docker, database: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "orphans.py").write_text(ORPHANS)
    job = _enqueue(docker, database, "orphans", {})
    environ = {ENV_URL: database, ENV_APP: "orphans", ENV_QUEUE: "orphans"}
    with started(docker, RUNNER, environ, [(tmp_path, "/app:ro")]) as container:
        orphan = _result(database, job, container)["pid"]
        # A zombie keeps its entry.
        until(lambda: not container.succeeds("test", "-e", f"/proc/{orphan}"), SECONDS, "the orphan is reaped")
        assert container.is_running()
