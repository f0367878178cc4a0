"""What a runner on RabbitMQ tells about itself, and what it is told: JSON over two fanout exchanges.

The management API's counts lag; these reports say at once how many jobs each runner holds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

REPORT_KIND = "report"
CANCEL_KIND = "cancel"


class ReportError(ValueError):
    """A body that is no report or no control message; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RunnerReport:
    """One runner at one moment.

    ``boot``: unique per process. ``queues``: those that it consumes now, none while it drains. ``held``: jobs delivered
    to it and not settled, per queue (running and prefetched). ``completed`` and ``failed``: attempts since the start,
    per queue. ``service_seconds``: mean duration of an attempt, None until one ended. ``gone``: its last word.
    """

    boot: str
    name: str
    queues: tuple[str, ...]
    slots: int
    busy: int
    held: Mapping[str, int]
    completed: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    service_seconds: float | None = None
    gone: bool = False

    def to_json(self) -> bytes:
        """The report as UTF-8 JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Control:
    """A message to every runner of a vhost: ``cancel`` the jobs with these ``ids``, or ``report`` now."""

    kind: Literal["cancel", "report"]
    ids: tuple[int, ...] = ()

    def to_json(self) -> bytes:
        """The message as UTF-8 JSON."""
        return json.dumps({"kind": self.kind} | ({"ids": list(self.ids)} if self.ids else {})).encode()


def read_report(body: bytes) -> RunnerReport:
    """The report in ``body``; fields that a newer release added are passed over. Raises ReportError."""
    value = _object(body)
    known = {it.name for it in fields(RunnerReport)}
    try:
        report = RunnerReport(**{name: content for name, content in value.items() if name in known})
        service = None if report.service_seconds is None else float(report.service_seconds)
        return RunnerReport(
            boot=str(report.boot),
            name=str(report.name),
            queues=_texts(report.queues),
            slots=int(report.slots),
            busy=int(report.busy),
            held=_counts(report.held),
            completed=_counts(report.completed),
            failed=_counts(report.failed),
            service_seconds=service,
            gone=bool(report.gone),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"no report of a runner: {error}") from None


def read_control(body: bytes) -> Control:
    """The control message in ``body``. Raises ReportError, also for a kind that this release doesn't know."""
    value = _object(body)
    kind = value.get("kind")
    if kind == REPORT_KIND:
        return Control("report")
    if kind != CANCEL_KIND:
        raise ReportError(f"no control message: kind is {kind!r}")
    ids = value.get("ids")
    if not isinstance(ids, list) or not all(type(id_) is int for id_ in ids):
        raise ReportError("no control message: ids is no list of whole numbers")
    return Control("cancel", tuple(ids))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ReportError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ReportError("not a JSON object")
    return value


def _counts(values: Mapping[Any, Any]) -> dict[str, int]:
    return {str(queue): int(count) for queue, count in values.items()}


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError("queues is a text, not a list")
    return tuple(str(value) for value in values)
