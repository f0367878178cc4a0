"""A storage that is away or refuses the keys: nothing is lost, and no message pays for it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.archive.conftest import Stage, staged
from tests.support.s3 import S3Server
from tests.support.waiting import eventually
from workerpool.archive import worker
from workerpool_contract.environment import RunnerSettings

MESSAGES = [{"user_id": "u", "session_uuid": number} for number in range(40)]


async def _detail(stage: Stage) -> str:
    """Waits until the check fails twice, so that it is no blip; what it says."""

    async def failing() -> bool:
        return not stage.archive.checks()["storage"].ok and sum(stage.archive.counts.failures.values()) > 1

    await eventually(failing, "the check of the storage fails", within=60)
    return str(stage.archive.checks()["storage"].detail["detail"])


@pytest.mark.crash
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_messages_wait_for_a_server_that_is_away(own_server: S3Server, how: str) -> None:
    bucket = own_server.create_bucket()
    async with staged(own_server.settings(bucket), RunnerSettings()) as it:
        await it.send(MESSAGES[0])
        await it.broker.run_until_idle()
        (own_server.stop if how == "stop" else own_server.kill)()
        await it.send(*MESSAGES)
        async with it.broker.running():
            assert f"on {own_server.endpoint}: " in await _detail(it)
            assert "workerpool_archive_storage_up 0\n" in it.archive.metrics_text()
            own_server.start()
        assert it.broker.dead_letters() == []
        assert {job.attempts for job in it.broker.jobs()} <= {0}
        assert len(it.broker.results()) == 1 + len(MESSAGES)
        assert it.archive.checks()["storage"].ok
    assert len(own_server.objects(bucket)) == len(MESSAGES)


@pytest.mark.crash
async def test_a_worker_starts_before_its_storage(own_server: S3Server) -> None:
    own_server.stop()
    bucket = own_server.create_bucket()
    async with staged(own_server.settings(bucket), RunnerSettings()) as it:
        await it.send(*MESSAGES)
        async with it.broker.running():
            await _detail(it)
            own_server.start()
        assert len(it.broker.results()) == len(MESSAGES)
    assert len(own_server.objects(bucket)) == len(MESSAGES)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secret_key": "wrong"}, "correct the secret key"),
        ({"access_key": "nobody"}, "correct the access key"),
    ],
)
async def test_wrong_keys_are_told_before_the_first_message_and_cost_none_an_attempt(
    s3_server: S3Server,
    changes: dict[str, Any],
    words: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "REMIND", 3600.0)
    caplog.set_level("INFO", "workerpool.archive")
    bucket = s3_server.create_bucket()
    wrong = replace(s3_server.settings(bucket), **changes)
    # So short that the jobs go back to the queue while the test looks on.
    async with staged(wrong, RunnerSettings(job_timeout=1.0)) as it:
        detail = await _detail(it)
        assert words in detail
        assert "wrong" not in detail
        await it.send(*MESSAGES[:5])

        def told() -> list[str]:
            start = "Messages that waited are handed back, lose no "
            return [text for text in caplog.messages if text.startswith(start)]

        async def handed_back() -> bool:
            return bool(told())

        running = asyncio.create_task(it.broker.run_until_idle())
        await eventually(handed_back, "messages go back to the queue")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert it.broker.dead_letters() == []
        assert [job.attempts for job in it.broker.jobs()] == [0] * 5
        assert len(told()) == 1, "once in a while, not once a message"
        assert words in told()[0]
    assert not s3_server.has_bucket(bucket)
