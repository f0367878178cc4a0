"""examples/session-archive as its README says, on a real broker and a real S3 server; only addresses differ."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.support.commands import run_command
from tests.support.rabbitmq import Vhost
from tests.support.s3 import REGION, S3Server
from tests.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
BUCKET = "sessions"
SETTLE = "export WORKERPOOL_URL=amqp://archive:change-me@localhost:5672/ WORKERPOOL_RABBITMQ_DELIVERY_LIMIT=5"
APPLY = "workerpool topology apply raw_sessions"
PRODUCE = "python producer.py 300"
SESSIONS = 300
UP = "workerpool up -f workerpool.yaml -f secrets.yaml"
RUN = "workerpool run s3-archive"
WITHIN = 120.0


@pytest.fixture
def folder(tmp_path: Path, vhost: Vhost, s3_server: S3Server) -> Path:
    """A copy of the example whose Secrets lead to the servers of the test."""
    copied = tmp_path / "session-archive"
    shutil.copytree(ROOT / "examples" / "session-archive", copied)
    secrets = list(yaml.safe_load_all((copied / "secrets.yaml").read_text()))
    values = {
        "rabbitmq": {"url": vhost.url},
        "s3": {
            "endpoint": s3_server.endpoint,
            "accessKey": s3_server.access_key,
            "secretKey": s3_server.secret_key,
            "region": REGION,
        },
    }
    for secret in secrets:
        secret["stringData"] = values[secret["metadata"]["name"]]
    (copied / "secrets.yaml").write_text(yaml.safe_dump_all(secrets))
    manifest = (copied / "workerpool.yaml").read_text()
    (copied / "workerpool.yaml").write_text(manifest.replace("{name: s3, ", "{name: s3, regionKey: region, "))
    return copied


@pytest.fixture
def environ(tmp_path: Path, vhost: Vhost) -> dict[str, str]:
    """The environment of a reader who typed ``SETTLE`` for this broker."""
    words = [word.partition("=") for word in shlex.split(SETTLE)[1:]]
    told = {name: value for name, _, value in words} | {"WORKERPOOL_URL": vhost.url, "RABBITMQ_URL": vhost.url}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "WORKERPOOL_STATE_DIR": str(tmp_path / "state"), **told}


async def typed(command: str, folder: Path, environ: Mapping[str, str]) -> str:
    """Runs a command of the README and returns what it printed."""
    done = await asyncio.to_thread(run_command, shlex.split(command), folder, environ, 4 * WITHIN)
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def assert_archived(s3: S3Server, count: int, seen: Mapping[str, bytes]) -> None:
    """So many new objects since ``seen``, each the JSON of the session that its key names."""
    found = {key: body for key, body in s3.objects(BUCKET).items() if key not in seen}
    assert len(found) == count
    for key, body in found.items():
        session = json.loads(body)
        assert key == f"sessions/{session['user_id']}/{session['session_uuid']}.json"
        assert len(session["events"]) == 20


async def test_sessions_of_the_producer_become_objects(
    folder: Path, environ: dict[str, str], vhost: Vhost, s3_server: S3Server
) -> None:
    seen = s3_server.objects(BUCKET) if s3_server.has_bucket(BUCKET) else {}
    await typed(APPLY, folder, environ)
    limits = {queue["name"]: queue["arguments"].get("x-delivery-limit") for queue in vhost.api("GET", "queues/{}")}
    assert limits["raw_sessions"] == 5
    assert f"published {SESSIONS} sessions" in await typed(PRODUCE, folder, environ)
    told = await typed(f"{UP} --until-empty --no-tui", folder, environ)
    assert_archived(s3_server, SESSIONS, seen)
    assert f"{SESSIONS} ready and 0 in flight, at 1000 per replica: 1" in told
    assert "Stopped session-archive; no runner is left" in told


async def test_producer_without_the_queue_says_how_to_make_it(folder: Path, environ: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="workerpool topology apply raw_sessions"):
        await typed(PRODUCE, folder, environ)


async def test_the_compose_files_worker_archives(
    folder: Path, environ: dict[str, str], vhost: Vhost, s3_server: S3Server
) -> None:
    worker = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["worker"]
    assert shlex.split(RUN)[1:] == worker["command"]
    seen = s3_server.objects(BUCKET) if s3_server.has_bucket(BUCKET) else {}
    told = worker["environment"] | s3_server.environment(BUCKET)
    told |= {"WORKERPOOL_URL": vhost.url, "WORKERPOOL_PROBE_PORT": "0"}
    running = await asyncio.create_subprocess_exec(
        *shlex.split(RUN), cwd=folder, env={**environ, **told}, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:

        async def declared() -> bool:
            return any(queue["name"] == "raw_sessions" for queue in vhost.api("GET", "queues/{}"))

        await eventually(declared, "the worker declares its queue", within=WITHIN)
        await typed(PRODUCE, folder, environ)

        async def archived() -> bool:
            return len(s3_server.objects(BUCKET)) == len(seen) + SESSIONS

        await eventually(archived, "every session is an object", within=WITHIN)
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN):
            assert await running.wait() == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert_archived(s3_server, SESSIONS, seen)
