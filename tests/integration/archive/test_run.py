"""`workerpool run s3-archive` by the variables of the worker that it replaces, and what it refuses to start with."""

import os
import subprocess
import sys

from tests.integration.archive.conftest import Start
from tests.support.patience import until
from tests.support.runner_process import ROOT
from tests.support.s3 import REGION, S3Server
from tests.support.tables import Tables

WITHIN = 90.0


def test_the_old_variables_work(database: str, s3_server: S3Server, bucket: str, start: Start) -> None:
    tables = Tables(database)
    tables.enqueue("raw_sessions", [{"user_id": "u", "session_uuid": 1}])
    tables.enqueue("other", [{"user_id": "u", "session_uuid": 2}])
    old = {
        "GARAGE_ENDPOINT": s3_server.endpoint,
        "GARAGE_ACCESS_KEY": s3_server.access_key,
        "GARAGE_SECRET_KEY": s3_server.secret_key,
        "GARAGE_BUCKET": bucket,
        "GARAGE_REGION": REGION,
        # The engine goes by the URL's scheme, not by the variable's name; the other URL is somebody else's.
        "RABBITMQ_URL": database,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    first = start("", **old)
    until(lambda: s3_server.objects(bucket), WITHIN, first.log.read_text)
    second = start("", **old, RABBITMQ_QUEUE="other", WORKERPOOL_LOG_LEVEL="debug")
    until(lambda: len(s3_server.objects(bucket)) == 2, WITHIN, second.log.read_text)
    until(lambda: tables.unfinished() == 0, WITHIN, "both are acknowledged")
    assert s3_server.objects(bucket)["sessions/u/1.json"] == b'{"user_id": "u", "session_uuid": 1}'
    assert first.metric("workerpool_archive_objects_total") == 1
    for runner in (first, second):
        runner.process.terminate()
        assert runner.wait(WITHIN) == 0
        assert s3_server.secret_key not in runner.log.read_text()
    assert f"Archiving to bucket {bucket} on {s3_server.endpoint}: one object per message" in "\n".join(
        first.messages()
    )
    assert not [line for line in first.messages() if line.startswith("Stored ")], "no line per message unless asked"
    assert [line for line in second.messages() if line.startswith("Stored sessions/u/2.json: 35 bytes")]


def test_several_processes_store_batches(database: str, s3_server: S3Server, bucket: str, start: Start) -> None:
    tables = Tables(database)
    batches = {"WORKERPOOL_ARCHIVE_BATCH_MESSAGES": "20", "WORKERPOOL_ARCHIVE_BATCH_SECONDS": "0.5"}
    start(
        database, **s3_server.environment(bucket), **batches, WORKERPOOL_PROCESSES="2", WORKERPOOL_BUILTIN="s3-archive"
    )
    tables.enqueue("raw_sessions", ({"n": number} for number in range(200)))
    until(lambda: tables.unfinished() == 0, WITHIN, "all of them are stored")
    lines = [line for body in s3_server.objects(bucket).values() for line in body.splitlines()]
    assert sorted(lines) == sorted(b'{"n": %d}' % number for number in range(200))
    assert len(s3_server.objects(bucket)) < 50


def test_bad_settings_are_told_before_anything_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workerpool", "run", "s3-archive"],
        cwd=ROOT,
        env={**os.environ, "WORKERPOOL_URL": "postgresql://127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN,
    )
    assert done.returncode == 2, done.stderr
    assert "WORKERPOOL_S3_BUCKET: no bucket is named; set it" in done.stderr
    assert "Traceback" not in done.stderr
