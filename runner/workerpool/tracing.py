"""Spans for jobs and their steps by OpenTelemetry, when the extra ``otel`` is installed and somebody collects them.

The application may set up OpenTelemetry itself (its tracer provider is then used), or leave it to the runner, which
exports over OTLP as the standard OTEL_ variables say. Otherwise there is no tracer, and tracing costs nothing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from pydantic_core import from_json

from workerpool.errors import ConfigError
from workerpool.sources.base import Job

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Tracer

NAME: Final = "workerpool"


class SpanTracer:
    """Opens one span per attempt and one per ``ctx.step``.

    The first attempt is a child of the span that sent the job (its ``traceparent`` header); retries are linked to it,
    so that a trace does not stay open for as long as retries may take.
    """

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    def job(self, job: Job, worker: str) -> AbstractContextManager[object]:
        """A consumer span; an exception that leaves it is recorded in it."""
        from opentelemetry.trace import SpanKind

        sender = _sender(job)
        return self._tracer.start_as_current_span(
            f"process {job.queue}",
            context=sender if job.attempts == 0 else None,
            links=_links(sender) if job.attempts else None,
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": NAME,
                "messaging.operation.type": "process",
                "messaging.destination.name": job.queue,
                "messaging.message.id": str(job.id),
                "workerpool.worker": worker,
                "workerpool.attempt": job.attempts + 1,
            },
        )

    def step(self, name: str) -> AbstractContextManager[object]:
        """A span under the job's."""
        return self._tracer.start_as_current_span(name)


def open_tracer(*, export: bool, service: str = NAME) -> tuple[SpanTracer | None, Callable[[], None]]:
    """The tracer, or None when nobody would collect spans, and a function that sends what is left at the end.

    ``export``: whether the environment names an OTLP collector (OTEL_EXPORTER_OTLP_ENDPOINT); ``service``: how spans
    call this program unless OTEL_SERVICE_NAME does. Raises ConfigError when a collector is named without the extra.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        if export:
            missing = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is missing: install workerpool[otel]"
            raise ConfigError(missing) from None
        return None, _nothing
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return SpanTracer(trace.get_tracer(NAME)), _nothing
    return _exporting(service) if export else (None, _nothing)


def _exporting(service: str) -> tuple[SpanTracer, Callable[[], None]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": service}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return SpanTracer(provider.get_tracer(NAME)), provider.shutdown


def _sender(job: Job) -> "Context | None":
    """The context of the span that sent the job; None when its headers name none."""
    from opentelemetry.propagate import extract

    headers = from_json(job.headers) if job.headers else None
    return extract(headers) if headers else None


def _links(sender: "Context | None") -> "list[Link] | None":
    from opentelemetry.trace import Link, get_current_span

    span = get_current_span(sender).get_span_context() if sender is not None else None
    return [Link(span)] if span is not None and span.is_valid else None


def _nothing() -> None:
    """There is nothing to send."""
