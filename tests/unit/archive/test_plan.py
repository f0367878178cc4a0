"""What an archive worker is told: sound settings become a plan, others are named with the cure."""

from typing import Any

import pytest

from workerpool.archive.batches import BatchLimits
from workerpool.archive.plan import LONGEST_HOLD, plan_archive
from workerpool.cli.builtins import wanted_builtin
from workerpool.errors import ConfigError
from workerpool_contract.archive import ArchiveSettings
from workerpool_contract.environment import RunnerSettings


def plan(runner: RunnerSettings | None = None, **settings: Any) -> Any:
    return plan_archive(ArchiveSettings(**({"bucket": "b-1"} | settings)), runner or RunnerSettings())


def test_what_nobody_says() -> None:
    usual = plan()
    assert (usual.queue, usual.topic, usual.group) == ("raw_sessions", "raw_sessions", None)
    assert usual.concurrency == 16
    assert usual.content_type == "application/json"
    assert usual.hold == 240.0, "so that the job's timeout of 300 s never cuts an upload off"
    assert usual.batch is None


def test_a_queue_may_be_a_group_of_a_topic() -> None:
    grouped = plan(RunnerSettings(queue="events@archive"))
    assert (grouped.topic, grouped.group) == ("events", "archive")


def test_batches_hold_no_more_than_the_slots_and_leave_time_for_the_upload() -> None:
    assert plan(batch_messages=100).concurrency == 200
    assert plan(batch_messages=1000).concurrency == 1000
    batched = plan(RunnerSettings(concurrency=30), batch_messages=100, batch_seconds=40.0)
    assert batched.batch == BatchLimits(30, 40.0, 8_388_608)
    assert batched.hold == 200.0
    assert batched.content_type == "application/x-ndjson"
    assert plan(RunnerSettings(job_timeout=86_400.0), batch_messages=10).hold == LONGEST_HOLD


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bucket": None}, "WORKERPOOL_S3_BUCKET: no bucket is named; set it"),
        ({"bucket": "Up"}, "WORKERPOOL_S3_BUCKET: 'Up' is no name of a bucket"),
        ({"endpoint": "garage:3900"}, "WORKERPOOL_S3_ENDPOINT: 'garage:3900' is no URL"),
        ({"endpoint": "http://key:secret@garage:3900"}, "with the keys in variables of their own"),
        ({"key_template": "../{a}"}, "WORKERPOOL_ARCHIVE_KEY_TEMPLATE: '../{a}' is no template of keys"),
        ({"batch_key_template": "{a}"}, "WORKERPOOL_ARCHIVE_BATCH_KEY_TEMPLATE: '{a}' is no template"),
        ({"content_type": "a\r\nb: c"}, "WORKERPOOL_ARCHIVE_CONTENT_TYPE: "),
        ({"batch_messages": 10, "batch_seconds": 200.0}, "WORKERPOOL_ARCHIVE_BATCH_SECONDS: 200 leaves too little"),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        plan(**settings)
    assert words in str(raised.value)


def test_a_queue_that_makes_no_key_is_told_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"makes no key of queue 'a/b': field 'queue'"):
        plan(RunnerSettings(queue="a/b"), batch_key_template="{queue}/{batch_id}")


def test_the_ready_made_worker_is_asked_for_by_name_or_variable_and_runs_alone() -> None:
    plain, told = RunnerSettings(app="shop"), RunnerSettings(builtin="s3-archive")
    assert wanted_builtin(["s3-archive"], None, plain) == "s3-archive"
    assert wanted_builtin([], None, told) == "s3-archive"
    assert wanted_builtin(["orders"], None, plain) is None
    with pytest.raises(ConfigError, match="NAME: s3-archive runs alone"):
        wanted_builtin(["s3-archive", "orders"], None, plain)
    with pytest.raises(ConfigError, match="WORKERPOOL_BUILTIN: s3-archive runs alone"):
        wanted_builtin(["orders"], None, told)
