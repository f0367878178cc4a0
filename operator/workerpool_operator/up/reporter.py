"""Who shows what `up` does: on a terminal, as plain lines, or as JSON. One interface for the three."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_operator.platform import ReplicaState, ReplicaView
from workerpool_operator.up.loop import PoolView

# Seconds between two lines about a pool that works but changes nothing else.
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


class Lines:
    """One plain line per change, for logs and pipes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """``write`` gets each line without its end."""
        self._write = write
        self._shown: dict[str, tuple[object, ...]] = {}
        self._at: dict[str, float] = {}

    def update(self, views: Sequence[PoolView], at: float) -> None:
        """Writes a line for each pool that changed, and now and then for one that is at work."""
        for view in views:
            key = change_key(view)
            working = isinstance(view.reading, Backlog) and view.reading.work > 0
            late = working and at - self._at.get(view.name, -HEARTBEAT) >= HEARTBEAT
            if key != self._shown.get(view.name) or late:
                self._shown[view.name], self._at[view.name] = key, at
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
    unknown = isinstance(view.reading, Unknown)
    return view.status.desired_replicas, states, view.failure, unknown, trouble_of(view)


def line_of(view: PoolView) -> str:
    """Backlog, replicas, rates and the reason in one line."""
    kept, draining = len(view.state.kept), len(view.state.replicas) - len(view.state.kept)
    leaving = f" (+{draining} draining)" if draining else ""
    parts = [
        backlog_words(view),
        f"{kept} of {view.status.desired_replicas} replicas{leaving}, {busy_of(view)} busy",
        f"{rate(view.rates.arriving)}/s in, {rate(view.rates.finishing)}/s out",
    ]
    if view.status.reason:
        parts.append(f"why: {view.status.reason}")
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
        return f"backlog unknown: {view.reading.reason}"
    backlog = view.reading
    extra = [f"{count} {name}" for count, name in ((backlog.delayed, "delayed"), (backlog.dead, "dead")) if count]
    more, unknown = ("+" if least else "" for least in (backlog.truncated, backlog.in_flight_unknown))
    return ", ".join([f"{backlog.ready}{more} ready", f"{backlog.in_flight}{unknown} in flight", *extra])


def trouble_of(view: PoolView) -> tuple[str, ...]:
    """What is wrong with replicas or with the pool, one text each."""
    found = [f"failed: {view.failure}"] if view.failure else []
    return (*found, *(f"{replica.name} {replica.detail}" for replica in view.state.replicas if _troubled(replica)))


def busy_of(view: PoolView) -> int:
    """How many jobs run."""
    return sum(replica.busy or 0 for replica in view.state.replicas)


def rate(value: float) -> str:
    """A rate for people."""
    return f"{value:.1f}" if ROUGH / 10 < value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits are enough


def _troubled(replica: ReplicaView) -> bool:
    return replica.state in {ReplicaState.BACKOFF, ReplicaState.SILENT} and bool(replica.detail)
