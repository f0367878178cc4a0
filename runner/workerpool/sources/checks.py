"""Lines of the doctor that every engine has: a level, what was found, and the cure. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STARVED_SECONDS: Final = 60.0


class Level(StrEnum):
    """How bad it is: only ``fail`` makes the doctor's exit code 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, and what to do about it (empty when nothing is wrong)."""

    name: str
    level: Level
    detail: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue: jobs ready and dead, age (seconds) of the oldest ready one, whether a runner serves it.

    ``oldest_age`` is None where the engine can't tell.
    ``topics``: what workers have subscribed it to; its own name alone for a queue that gets no copies.
    """

    name: str
    ready: int
    dead: int
    oldest_age: float | None
    served: bool
    topics: tuple[str, ...]


def queues(found: Sequence[Queue]) -> Check:
    """All queues in one line: those that wait without a runner first."""
    starved = [it for it in found if it.ready and not it.served and _late(it)]
    if starved:
        shown = "; ".join(f"{it.name}: {it.ready} ready{_since(it)} and no runner, {_fed(it)}" for it in starved[:5])
        cure = "start runners (`workerpool up` or `run`), or correct the name of the queue"
        forgotten = [(topic, it.name) for it in starved for topic in it.topics if topic != it.name]
        if forgotten:
            cure += f", or end the copies: `workerpool topics unsubscribe {' '.join(forgotten[0])}`"
        return Check("queues", Level.WARN, shown, cure)
    dead = sum(it.dead for it in found)
    waiting = sum(it.ready for it in found)
    letters = f", {dead} dead letters (see `workerpool dlq list`)" if dead else ""
    return Check("queues", Level.OK, f"{len(found)} queues, {waiting} jobs ready{letters}")


def _late(queue: Queue) -> bool:
    return queue.oldest_age is None or queue.oldest_age > STARVED_SECONDS


def _since(queue: Queue) -> str:
    return "" if queue.oldest_age is None else f" for {duration(queue.oldest_age)}"


def _fed(queue: Queue) -> str:
    copied = ", ".join(topic for topic in queue.topics if topic != queue.name)
    if copied:
        return f"gets copies of {copied}"
    return "its workers are stopped" if queue.topics else "no worker ever subscribed"


def duration(seconds: float) -> str:
    """``seconds`` in the unit that a person would choose."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"  # noqa: PLR2004 - one digit reads better


def size(count: float) -> str:
    """``count`` bytes in the unit that a person would choose."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":  # noqa: PLR2004 - what a KiB is
            return f"{count:.0f} {unit}"
        count /= 1024
    return ""
