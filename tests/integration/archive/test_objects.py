"""What the archive stores and what it refuses, on a real S3 server."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import aioboto3
import pytest

from tests.integration.archive.conftest import Staging
from tests.support.s3 import REGION, S3Server
from workerpool.sources.base import NewJob
from workerpool_contract.archive import DEFAULT_QUEUE
from workerpool_contract.environment import RunnerSettings

ODD = '{"user_id": "José",\n\t"session_uuid": 7, "big": 12345678901234567890, "exact": 1.10, "again": 1, "again": 2}'


async def test_an_object_is_its_message_byte_by_byte(stage: Staging, s3_server: S3Server, bucket: str) -> None:
    async with stage() as it:
        await it.broker.producer.publisher.enqueue(DEFAULT_QUEUE, [NewJob(ODD)])
        await it.send({"user_id": "u", "session_uuid": "a-b"})
        await it.broker.run_until_idle()
        assert it.broker.results() == [None, None]
    assert s3_server.objects(bucket) == {
        "sessions/José/7.json": ODD.encode(),
        "sessions/u/a-b.json": b'{"user_id":"u","session_uuid":"a-b"}',
    }


async def test_a_message_that_comes_twice_is_one_object(stage: Staging, s3_server: S3Server, bucket: str) -> None:
    async with stage() as it:
        await it.send(*[{"user_id": "u", "session_uuid": 1}] * 5)
        await it.broker.run_until_idle()
        assert len(it.broker.results()) == 5
    assert len(s3_server.objects(bucket)) == 1


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"user_id": "u"}, "field 'session_uuid' is missing"),
        ({"user_id": "../..", "session_uuid": "s"}, "field 'user_id': '../..' holds a slash"),
        ({"user_id": "..", "session_uuid": "s"}, "field user_id: '..' can't stand between two slashes"),
        ({"user_id": "u", "session_uuid": "s" * 600}, "has 600 bytes, more than 512"),
        ({"user_id": "u", "session_uuid": "s", "kind": None}, "field 'kind' is missing or null"),
        (["user_id"], "the payload is an array, but s3-archive takes JSON objects, {…}; send one"),
    ],
)
async def test_an_unsound_message_is_a_dead_letter_that_names_the_field(
    stage: Staging, s3_server: S3Server, bucket: str, payload: Any, words: str
) -> None:
    async with stage(required_fields=("kind",)) as it:
        await it.send(payload if "kind" in payload or isinstance(payload, list) else {**payload, "kind": "k"})
        await it.send({"user_id": "u", "session_uuid": "s", "kind": "good"})
        await it.broker.run_until_idle()
        (dead,) = it.broker.dead_letters()
        assert dead.reason == "invalid"
        assert words in dead.error
        assert dead.retries == 0
    assert list(s3_server.objects(bucket)) == ["sessions/u/s.json"]


async def test_what_the_server_can_never_take_is_a_dead_letter_at_once(stage: Staging) -> None:
    async with stage() as it:
        await it.send({"user_id": "u", "session_uuid": 1})
        await it.broker.run_until_idle()
        await it.send({"user_id": "u" * 500, "session_uuid": 1})  # this server keeps objects as files
        await it.broker.run_until_idle()
        (dead,) = it.broker.dead_letters()
        assert (dead.reason, dead.retries) == ("terminal", 0)
        assert "KeyTooLong" in dead.error
        assert it.archive.checks()["storage"].ok


async def test_content_type_and_template_are_as_told(stage: Staging, s3_server: S3Server, bucket: str) -> None:
    async with stage(content_type="application/vnd.session+json", key_template="{day}/{n}") as it:
        await it.send({"day": "2030-01-31", "n": -5})
        await it.broker.run_until_idle()
    session = aioboto3.Session(s3_server.access_key, s3_server.secret_key, region_name=REGION)
    async with session.client("s3", endpoint_url=s3_server.endpoint) as client:
        head = await client.head_object(Bucket=bucket, Key="2030-01-31/-5")
    assert head["ContentType"] == "application/vnd.session+json"


async def test_two_archives_may_create_the_bucket_at_once(stage: Staging, s3_server: S3Server, bucket: str) -> None:
    async with stage() as one, stage() as two:
        await one.send({"user_id": "u", "session_uuid": 1})
        await two.send({"user_id": "u", "session_uuid": 2})
        await asyncio.gather(one.broker.run_until_idle(), two.broker.run_until_idle())
    assert len(s3_server.objects(bucket)) == 2


async def test_a_bucket_that_somebody_deleted_is_made_again(stage: Staging, s3_server: S3Server, bucket: str) -> None:
    session = aioboto3.Session(s3_server.access_key, s3_server.secret_key, region_name=REGION)
    async with stage() as it:
        await it.send({"user_id": "u", "session_uuid": 1})
        await it.broker.run_until_idle()
        async with session.client("s3", endpoint_url=s3_server.endpoint) as client:
            await client.delete_object(Bucket=bucket, Key="sessions/u/1.json")
            await client.delete_bucket(Bucket=bucket)
        await it.send({"user_id": "u", "session_uuid": 2})
        await it.broker.run_until_idle()
        assert it.broker.dead_letters() == []
    assert list(s3_server.objects(bucket)) == ["sessions/u/2.json"]


async def test_batches_are_objects_of_lines(stage: Staging, s3_server: S3Server, bucket: str) -> None:
    before = datetime.now(UTC)
    runner = RunnerSettings(queue="events@archive")
    changes = {
        "batch_messages": 10,
        "batch_seconds": 0.2,
        "batch_key_template": "{queue}/{date}/{hour}/{batch_id}.ndjson",
    }
    async with stage(runner, **changes) as it:
        for number in range(25):
            await it.broker.publish("events", {"n": number, "text": "a\nb"})
        await it.broker.run_until_idle()
        text = it.archive.metrics_text()
    stored = s3_server.objects(bucket)
    lines = [json.loads(line) for body in stored.values() for line in body.splitlines()]
    assert sorted(line["n"] for line in lines) == list(range(25))
    assert [len(body.splitlines()) for body in stored.values()].count(10) == 2
    hours = {f"events@archive/{moment:%Y-%m-%d/%H}/" for moment in (before, datetime.now(UTC))}
    assert all(key.startswith(tuple(hours)) for key in stored)
    assert "workerpool_archive_objects_total 3\n" in text
    assert "workerpool_archive_messages_total 25\n" in text
    assert f"workerpool_archive_bytes_total {sum(map(len, stored.values()))}\n" in text
