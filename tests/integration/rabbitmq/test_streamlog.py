"""A stream as a log: everything appended is read, in order, by whoever asks and by whoever follows."""

import asyncio
import time

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from tests.support.waiting import eventually
from workerpool.errors import SourceError
from workerpool.sources.rabbitmq import streamfollowing
from workerpool.sources.rabbitmq.link import Link
from workerpool.sources.rabbitmq.outgoing import Outgoing
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamfollowing import Follower
from workerpool.sources.rabbitmq.streamlog import MARKER, StreamLog
from workerpool.sources.rabbitmq.streamreading import last_offset
from workerpool.sources.rabbitmq.streamrecords import JsonRecord
from workerpool_contract.rabbitmq import HISTORY, MARKS, SUBSCRIPTIONS

pytestmark = pytest.mark.rabbitmq

PATIENCE = 45.0
"""Seconds without progress."""


async def test_an_empty_log_is_read_at_once(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        assert await _log(watched.link, MARKS).read() == []


async def test_records_are_read_in_the_order_of_their_appends(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, HISTORY)
        records: list[JsonRecord] = [{"id": number, "text": "ä" * (number % 50)} for number in range(900)]
        for start in range(0, 900, 3):
            await log.append(records[start : start + 3])
        assert await log.read() == records
        assert await _log(watched.link, HISTORY).read() == records


async def test_what_strangers_write_is_passed_over(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, HISTORY)
        await log.append([{"id": 1}])
        for body in (b"\xff", b"{}", b"[1, [2]]", b""):
            await watched.link.publish_channel().basic_publish(body, routing_key=HISTORY)
        await log.append([{"id": 2}])
        assert await log.read() == [{"id": 1}, {"id": 2}]


async def test_reading_from_a_moment_on_leaves_nothing_younger_out(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, HISTORY)
        await log.append([{"id": 1}])
        now = time.time()
        await log.append([{"id": 2}])
        assert (await log.read(since=now))[-1] == {"id": 2}
        assert await log.read(since=now + 3600) == []


async def test_a_reader_that_fails_says_so(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, HISTORY)
        await log.append([{"id": 1}])

        def fail(records: list[JsonRecord]) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await log.scan(fail)


async def test_followers_get_what_is_there_and_what_comes_across_a_lost_connection(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched, linked(vhost.url) as other:
        log = _log(watched.link, SUBSCRIPTIONS)
        await log.append([{"id": 1}, {"id": 2}])
        seen: list[JsonRecord] = []
        follower = Follower(_log(other.link, SUBSCRIPTIONS), seen.extend)
        await follower.start()
        await follower.sync()
        assert seen == [{"id": 1}, {"id": 2}]
        await other.cut()
        await log.append([{"id": 3}])
        await other.whole_again()
        await follower.sync(PATIENCE)
        assert seen == [{"id": 1}, {"id": 2}, {"id": 3}]
        await follower.stop()
        await log.append([{"id": 4}])
        assert len(seen) == 3


async def test_whoever_reads_to_the_end_leaves_nothing_behind(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        for _ in range(3):
            follower = Follower(log, lambda _: None)
            await follower.start()
            await follower.sync()
            await follower.sync()
            await follower.stop()
            # From now on the log is not empty, and a slow answer must not make it look so.
            monkeypatch.setattr(streamfollowing, "QUIET", PATIENCE)
        assert await last_offset(watched.link, SUBSCRIPTIONS, PATIENCE) == 0


async def test_many_find_the_end_of_an_empty_log_at_once(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamfollowing, "QUIET", 0.02)
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        followers = [Follower(log, lambda _: None) for _ in range(12)]
        await asyncio.gather(*(it.start() for it in followers))
        await asyncio.gather(*(it.sync(PATIENCE) for it in followers))
        for it in followers:
            await it.stop()


async def test_an_empty_log_that_gets_its_first_record_meanwhile_is_read(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        seen: list[JsonRecord] = []

        async def followed() -> bool:
            return bool(seen)

        async def meanwhile(link: Link, stream: str, patience: float) -> int | None:
            if seen:
                return await last_offset(link, stream, patience)
            await log.append([{"id": 1}])
            await eventually(followed, "the first record")
            return None

        monkeypatch.setattr(streamfollowing, "last_offset", meanwhile)
        follower = Follower(log, seen.extend)
        await follower.start()
        await follower.sync(PATIENCE)
        await follower.stop()
        assert seen == [{"id": 1}]
        assert await last_offset(watched.link, SUBSCRIPTIONS, PATIENCE) == 0


async def test_the_end_is_behind_all_that_was_written_at_once(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        await log.ensure()
        written = 0
        for count in (1, 7, 1000):
            await Sender(watched.link).send([Outgoing("", SUBSCRIPTIONS, b"[{}]", {})] * count)
            written += count
            assert await last_offset(watched.link, SUBSCRIPTIONS, PATIENCE) == written - 1


async def test_a_log_full_of_what_older_readers_left_is_read_to_its_end(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        await log.append([{"id": 1}])
        await Sender(watched.link).send([Outgoing("", SUBSCRIPTIONS, b"[]", {MARKER: "old"})] * 1500)
        await log.append([{"id": 2}])
        seen: list[JsonRecord] = []
        follower = Follower(log, seen.extend)
        await follower.start()
        await follower.sync(PATIENCE)
        await follower.stop()
        assert seen == [{"id": 1}, {"id": 2}]


async def test_records_of_any_size_are_kept(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, HISTORY)
        records = [{"id": number, "payload": "x" * 40_000} for number in range(100)]
        await log.append(records)
        assert await last_offset(watched.link, HISTORY, PATIENCE) == 7
        assert await log.read() == records


async def test_a_deleted_log_is_made_again_and_followed(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        seen: list[JsonRecord] = []
        follower = Follower(log, seen.extend)
        await follower.start()
        await log.append([{"id": 1}])
        await follower.sync()
        async with watched.link.scratch() as channel:
            await channel.queue_delete(SUBSCRIPTIONS)
        await log.append([{"id": 2}])

        async def followed() -> bool:
            return seen == [{"id": 1}, {"id": 2}]

        await eventually(followed, "the record of the new stream")
        await follower.stop()


async def test_a_user_who_may_not_declare_uses_the_log_that_is_there(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = _log(watched.link, SUBSCRIPTIONS)
        await log.append([{"id": 1}])
        vhost.api("PUT", f"permissions/{{}}/{vhost.user}", {"configure": "^$", "write": ".*", "read": ".*"})
        seen: list[JsonRecord] = []
        follower = Follower(log, seen.extend)
        await follower.start()
        await follower.sync()
        await follower.stop()
        assert seen == await log.read() == [{"id": 1}]
        with pytest.raises(SourceError, match=r"stream workerpool\.marks is missing and this user may not declare it"):
            await _log(watched.link, MARKS).ensure()


def _log(link: Link, name: str) -> StreamLog:
    return StreamLog(link, Sender(link), name)
