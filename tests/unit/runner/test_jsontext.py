"""NaN and Infinity are refused wherever values become JSON: payloads, progress and (see test_pipeline) results."""

import math
from typing import Any

import pytest

from workerpool.context import JobContext
from workerpool.errors import PayloadError
from workerpool.jsontext import write_json
from workerpool.producer import Producer
from workerpool.sources.base import Job
from workerpool.sources.memory.engine import MemoryEngine
from workerpool.sources.memory.source import MemoryPublisher

NOT_FINITE = [math.nan, math.inf, -math.inf, {"x": [math.nan]}]


@pytest.mark.parametrize("payload", NOT_FINITE)
async def test_a_producer_refuses_it(payload: object) -> None:
    producer = Producer(MemoryPublisher(MemoryEngine(lambda: 0.0)))
    words = "the payload holds NaN or Infinity, which JSON lacks; send None in their place"
    with pytest.raises(PayloadError, match=words):
        await producer.send("orders", payload)
    with pytest.raises(PayloadError, match=words):
        await producer.enqueue_many("orders", [1, payload])
    with pytest.raises(PayloadError, match=words):
        await producer.enqueue_bulk("orders", [1, payload])


@pytest.mark.parametrize("value", NOT_FINITE)
async def test_progress_refuses_it(value: object) -> None:
    job = Job("orders", 1, 0, 0, 0, "1", None, 0.0, False, None)
    sink: Any = None
    context = JobContext(job, worker="w", max_retries=3, sink=sink)
    with pytest.raises(PayloadError, match="metadata holds NaN or Infinity, which JSON lacks; pass None"):
        await context.update("half way", 50, {"loss": value})


def test_text_may_say_it() -> None:
    assert write_json({"NaN": "Infinity"}, "it", "send") == b'{"NaN":"Infinity"}'


def test_what_json_cannot_say_is_told_apart() -> None:
    with pytest.raises(PayloadError, match=r"the payload is not JSON: .*'object'.*; send dicts"):
        write_json(object(), "the payload", "send")
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(PayloadError, match=r"the payload is not JSON: .*Circular reference"):
        write_json(circle, "the payload", "send")
