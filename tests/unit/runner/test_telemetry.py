"""Jobs carry the trace of their sender, and nobody pays for tracing who doesn't use it."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from workerpool.producer import Producer
from workerpool.sources.base import Enqueued, NewJob
from workerpool.telemetry import exports_spans, trace_headers


class Kept:
    """A publisher that keeps what it is given."""

    outside_transactions: ClassVar[str | None] = None

    def __init__(self) -> None:
        self.jobs: list[NewJob] = []

    async def enqueue(self, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        self.jobs += jobs
        return [Enqueued(number, duplicate=False) for number, _ in enumerate(jobs)]

    async def enqueue_chunks(self, queue: str, chunks: Iterable[Sequence[NewJob]]) -> int:
        return sum([len(await self.enqueue(queue, jobs)) for jobs in chunks])

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_job_sent_inside_a_span_carries_it_beside_its_own_headers() -> None:
    exporter, provider, kept = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False), Kept()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("checkout"):
        await Producer(kept).send("orders", {}, headers={"tenant": "a"})
    span = exporter.get_finished_spans()[0].context
    assert span is not None
    headers = json.loads(kept.jobs[0].headers or "{}")
    assert headers == {
        "tenant": "a",
        "traceparent": f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}",
    }
    provider.shutdown()


async def test_a_header_of_the_senders_own_wins() -> None:
    provider, kept = TracerProvider(shutdown_on_exit=False), Kept()
    with provider.get_tracer("test").start_as_current_span("checkout"):
        await Producer(kept).send("orders", {}, headers={"traceparent": "mine"})
    assert json.loads(kept.jobs[0].headers or "{}")["traceparent"] == "mine"


async def test_without_a_span_there_are_no_headers() -> None:
    kept = Kept()
    await Producer(kept).send("orders", {})
    assert kept.jobs[0].headers is None
    assert trace_headers() == {}


def test_sending_imports_no_tracing_library() -> None:
    program = (
        "import sys; from workerpool.producer import Producer; Producer(None).job({}); "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_decide_about_exporting(environ: Mapping[str, str], expected: bool) -> None:
    assert exports_spans(environ) is expected
