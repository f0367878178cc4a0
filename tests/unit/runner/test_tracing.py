"""Spans of jobs: parents, links, steps and errors, collected by OpenTelemetry's own in-memory exporter."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unit.runner.jobs import bench
from workerpool.context import JobContext
from workerpool.tracing import SpanTracer, open_tracer
from workerpool.worker import worker

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = f'{{"traceparent": "00-{TRACE}-b7ad6b7169203331-01"}}'


async def spans_of(**job: Any) -> dict[str, ReadableSpan]:
    """The spans of one job with a step ``parse``, by name; payload ``{"fail": true}`` makes it fail."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    @worker("orders", name="notify")
    async def handle(order: dict[str, Any], ctx: JobContext) -> None:
        with ctx.step("parse"):
            if order.get("fail"):
                raise ValueError("no stock")

    async with bench(handle, tracer=SpanTracer(provider.get_tracer("test"))) as run:
        await run(**job)
    provider.shutdown()
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_a_job_is_a_span_with_its_steps_below() -> None:
    spans = await spans_of()
    job, step = spans["process orders"], spans["parse"]
    assert job.attributes is not None
    assert job.attributes["messaging.message.id"] == "7"
    assert (job.attributes["workerpool.worker"], job.attributes["workerpool.attempt"]) == ("notify", 1)
    assert step.parent is not None
    assert job.context is not None
    assert step.parent.span_id == job.context.span_id


async def test_the_first_attempt_continues_the_senders_trace() -> None:
    job = (await spans_of(headers=HEADERS))["process orders"]
    assert job.context is not None
    assert f"{job.context.trace_id:032x}" == TRACE


async def test_a_retry_is_linked_to_the_sender() -> None:
    job = (await spans_of(headers=HEADERS, attempts=1))["process orders"]
    assert job.context is not None
    assert f"{job.context.trace_id:032x}" != TRACE
    assert [f"{link.context.trace_id:032x}" for link in job.links] == [TRACE]


async def test_an_error_is_recorded_in_the_span() -> None:
    job = (await spans_of(payload='{"fail": true}'))["process orders"]
    assert job.status.description == "ValueError: no stock"


def test_without_a_collector_there_is_no_tracer() -> None:
    tracer, close = open_tracer(export=False)
    assert tracer is None
    close()


def test_a_collector_makes_a_tracer() -> None:
    tracer, close = open_tracer(export=True)
    assert isinstance(tracer, SpanTracer)
    close()
