"""Judging redelivered jobs on a real broker: whatever else the runners said, it is not held."""

import time
import tracemalloc

import pytest

from tests.support.linked import linked
from tests.support.rabbitmq import Vhost
from workerpool.sources.rabbitmq.marks import FORGIVEN, Marks, Numbered, Question
from workerpool.sources.rabbitmq.sending import Sender
from workerpool.sources.rabbitmq.streamlog import StreamLog
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
