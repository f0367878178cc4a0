"""The sending side of tracing: a job carries the context of the span that enqueued it, in W3C headers.

OpenTelemetry is never imported from here unless the application did so itself: without it there is no span to carry on,
and asking costs one look into a dict. The receiving side is `workerpool.tracing`.
"""

import sys
from collections.abc import Mapping
from typing import Final

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def trace_headers() -> dict[str, str]:
    """``traceparent`` (and ``tracestate``, ``baggage``) of the span that is open here; empty when none is."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.propagate import inject
    from opentelemetry.trace import get_current_span

    headers: dict[str, str] = {}
    if get_current_span().get_span_context().is_valid:
        inject(headers)
    return headers


def exports_spans(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables ask this process to export spans: a collector is named, or the exporter is.

    OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none win over everything.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "otlp" or any(environ.get(name, "").strip() for name in _ENDPOINTS)
