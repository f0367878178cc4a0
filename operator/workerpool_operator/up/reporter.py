"""Who shows what `up` does: on a terminal, as plain lines, or as JSON. One interface for the three."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_operator.platform import ReplicaState, ReplicaView
from workerpool_operator.up.loop import PoolView

# Seconds between two lines about a pool that works, or whose counts changed, but nothing else.
HEARTBEAT = 5.0
ROUGH = 0.5


class Reporter(Protocol):
    """Told of every look at the pools, and of anything worth a line."""

    def update(self, views: Sequence[PoolView], at: float) -> None:
        """A new look, ``at`` seconds after the start."""
        ...

    def note(self, words: str) -> None:
        """A line of its own."""
        ...

    def close(self) -> None:
        """The end; the terminal is left as it was."""
        ...


@dataclass(frozen=True, slots=True)
class _Shown:
    """The last line of a pool: when it came, and what it told. ``working``: jobs were ready or ran."""

    at: float
    key: tuple[object, ...]
    counts: tuple[object, ...]
    working: bool


class Lines:
    """One plain line per change, for logs and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """``write`` gets each line without its end."""
        self._write = write
        self._shown: dict[str, _Shown] = {}

    def update(self, views: Sequence[PoolView], at: float) -> None:
        """Writes a line for each pool that changed or has no more to do; counts alone make one now and then only."""
        for view in views:
            now = _Shown(at, change_key(view), (backlog_words(view), busy_of(view)), _is_working(view))
            before = self._shown.get(view.name)
            if before is None or _is_news(before, now):
                self._shown[view.name] = now
                self._write(f"{at:7.1f} s  {view.name}: {line_of(view)}")

    def note(self, words: str) -> None:
        """Writes the words."""
        self._write(words)

    def close(self) -> None:
        """Nothing to put back."""


class Json:
    """One JSON object per change, for programs."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """``write`` gets each object without a line end."""
        self._write = write
        self._shown: dict[str, str] = {}

    def update(self, views: Sequence[PoolView], at: float) -> None:
        """Writes an object for each pool that changed."""
        for view in views:
            facts = facts_of(view)
            text = json.dumps(facts, ensure_ascii=False)
            if text != self._shown.get(view.name):
                self._shown[view.name] = text
                self._write(json.dumps({"event": "pool", "at": round(at, 3), **facts}, ensure_ascii=False))

    def note(self, words: str) -> None:
        """Writes an object of the event "note"."""
        self._write(json.dumps({"event": "note", "message": words}, ensure_ascii=False))

    def close(self) -> None:
        """Nothing to put back."""


def change_key(view: PoolView) -> tuple[object, ...]:
    """What must differ for a new line: sizes, states, failures, whether the backlog is known."""
    states = tuple(replica.state for replica in view.state.replicas)
    reading = view.reading
    known = (bool(reading.indirect), bool(reading.undeclared)) if isinstance(reading, Backlog) else None
    # The words of a failing check may differ with every look; that it fails is the change.
    failing = tuple(_sort_of(replica) for replica in view.state.replicas if _troubled(replica))
    return view.status.desired_replicas, states, view.failure, known, failing


def line_of(view: PoolView) -> str:
    """Backlog, replicas, rates and the reason in one line."""
    parts = [
        backlog_words(view),
        f"{replica_words(view)}, {busy_of(view)} busy",
        f"{rate(view.rates.arriving)}/s in, {rate(view.rates.finishing)}/s out",
    ]
    if view.status.reason:
        parts.append(f"why: {reason_words(view)}")
    return " | ".join([*parts, *trouble_of(view)])


def facts_of(view: PoolView) -> dict[str, Any]:
    """A view as JSON values."""
    reading = view.reading
    backlog = view.status.backlog.model_dump(by_alias=True) if view.status.backlog else None
    return {
        "pool": view.name,
        "queue": view.queue,
        "desired": view.status.desired_replicas,
        "replicas": [
            {"name": replica.name, "state": replica.state.value, "busy": replica.busy, "detail": replica.detail}
            for replica in view.state.replicas
        ],
        "backlog": backlog,
        "unknown": reading.reason if isinstance(reading, Unknown) else None,
        "reason": view.status.reason,
        "conditions": {str(c.type): str(c.status) for c in view.status.conditions},
        "failure": view.failure or None,
    }


def backlog_words(view: PoolView) -> str:
    """The backlog, or why it is unknown."""
    if isinstance(view.reading, Unknown):
        return f"backlog unknown: {view.reading.brief}"
    backlog = view.reading
    extra = [f"{count} {name}" for count, name in ((backlog.delayed, "delayed"), (backlog.dead, "dead")) if count]
    more, unknown = ("+" if least else "" for least in (backlog.truncated, backlog.in_flight_unknown))
    return ", ".join([f"{backlog.ready}{more} ready", f"{backlog.in_flight}{unknown} in flight", *extra])


def reason_words(view: PoolView) -> str:
    """Why the pool has its size; what makes the backlog unknown is said once, where the backlog stands."""
    reason, reading = view.status.reason, view.reading
    return reason.replace(f" ({reading.reason})", "") if isinstance(reading, Unknown) else reason


def replica_words(view: PoolView) -> str:
    """Those that are ready, of those that should be, and all others."""
    ready, kept = view.state.ready, len(view.state.kept)
    others = ((kept - ready, "not ready"), (len(view.state.replicas) - kept, "draining"))
    extra = ", ".join(f"+{count} {name}" for count, name in others if count)
    return f"{ready} of {view.status.desired_replicas} replicas{f' ({extra})' if extra else ''}"


def trouble_of(view: PoolView) -> tuple[str, ...]:
    """What is wrong with replicas or with the pool, one text each."""
    found = [f"failed: {view.failure}"] if view.failure else []
    if isinstance(view.reading, Backlog):
        found += [words for words in (view.reading.indirect, view.reading.undeclared) if words]
    return (*found, *(_trouble(replica) for replica in view.state.replicas if _troubled(replica)))


def busy_of(view: PoolView) -> int:
    """How many jobs run."""
    return sum(replica.busy or 0 for replica in view.state.replicas)


def rate(value: float) -> str:
    """A rate for people."""
    return f"{value:.1f}" if ROUGH / 10 < value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits are enough


def _troubled(replica: ReplicaView) -> bool:
    return not replica.draining and bool(replica.detail)


def _trouble(replica: ReplicaView) -> str:
    unready = " is not ready:" if replica.state is ReplicaState.STARTING else ""
    return f"{replica.name}{unready} {replica.detail}"


def _sort_of(replica: ReplicaView) -> tuple[str, str]:
    answers = replica.state in {ReplicaState.STARTING, ReplicaState.READY}
    return replica.name, replica.detail.partition(":")[0] if answers else replica.detail


def _is_working(view: PoolView) -> bool:
    return isinstance(view.reading, Backlog) and view.reading.work > 0


def _is_news(before: _Shown, now: _Shown) -> bool:
    late = now.at - before.at >= HEARTBEAT
    done = before.working and not now.working
    return now.key != before.key or done or (late and (now.working or now.counts != before.counts))
