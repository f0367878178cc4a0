"""Judging redelivered jobs on a real broker: whatever else the runners said, it is not held."""

import asyncio
import time
import tracemalloc

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from workerpool.errors import SourceUnavailable
from workerpool.sources.rabbitmq.marks import FORGIVEN, Marks, Numbered, Question
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
from workerpool.sources.rabbitmq.streamreading import last_offset
from workerpool_contract.rabbitmq import MARKS

pytestmark = pytest.mark.rabbitmq


async def test_judging_holds_only_what_it_was_asked_about(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = StreamLog(watched.link, Sender(watched.link), MARKS)
        marks = Marks(log)
        guilty, spared = Numbered("q", "guilty", 1), Numbered("q", "spared", 1)
        await marks.mark(guilty)
        for _ in range(20):
            await log.append([{FORGIVEN: ["q", f"somebody else's message {number}", 0]} for number in range(1000)])
        await marks.forgive([spared])
        questions = [Question(it._replace(number=2), 1) for it in (guilty, spared)]
        tracemalloc.start()
        try:
            assert await marks.judge(questions, time.time() - 3600) == [2, 1]
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


async def test_jobs_that_start_at_once_are_marked_together_and_none_by_another_s_leave(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        log = StreamLog(watched.link, Sender(watched.link), MARKS)
        await log.ensure()
        marks = Marks(log)
        starting = [Numbered("q", str(number), 1) for number in range(200)]
        tasks = [asyncio.create_task(marks.mark(it)) for it in starting]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[150].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [number for number, it in enumerate(ended) if it is not None] == [0, 150]
        last = await last_offset(watched.link, MARKS, 45)
        assert last is not None
        assert last < 5
        questions = [Question(it._replace(number=2), 1) for it in starting]
        assert await marks.judge(questions, time.time() - 3600) == [2] * 200


async def test_a_mark_that_is_not_confirmed_is_nobody_s(vhost: Vhost) -> None:
    async with linked(vhost.url) as watched:
        marks = Marks(StreamLog(watched.link, Sender(watched.link), MARKS))
        await watched.link.close()
        ended = await asyncio.gather(*(marks.mark(Numbered("q", "1", 1)) for _ in range(3)), return_exceptions=True)
        assert [type(it) for it in ended] == [SourceUnavailable] * 3
        await watched.link.open()
        await marks.mark(Numbered("q", "2", 1))
        assert await marks.log.read() == [{"marked": ["q", "2", 1]}]
