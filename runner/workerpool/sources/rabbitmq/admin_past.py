"""What the history stream of a broker says: jobs that are over, and what they reported while they ran."""

from collections import deque
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from workerpool.sources.administration import JobEvent, JobRow, JobState, Run
from workerpool.sources.rabbitmq.admin_desk import Desk, is_one_of, moment
from workerpool.sources.rabbitmq.ids import EPOCH, SEQUENCE_BITS

WEEK: Final = 7 * 86_400.0
"""Seconds: what the stream keeps."""
MARGIN: Final = 3600.0
"""Seconds by which the clock of whoever made an id may be ahead; a copy's id is off by up to 18 minutes as well."""
LOOKS: Final = (3600.0, 86_400.0, WEEK)
"""How far back a list looks at first, and then, while it is not full."""
EVENTS: Final = 50

Record = dict[str, Any]


async def ended_rows(desk: Desk, queue: str | None, state: JobState, limit: int) -> list[JobRow]:
    """The jobs that ended in ``state``, newest first, at most ``limit``. Raises SourceUnavailable, SourceError."""
    newest: deque[Record] = deque(maxlen=limit)
    for back in LOOKS:
        newest.clear()

        def take(records: list[Record], into: deque[Record] = newest) -> None:
            into.extend(
                it for it in records if it.get("state") == state and "id" in it and queue in (None, it.get("queue"))
            )

        await desk.history.scan(take, since=desk.wall() - back)
        if len(newest) == limit:
            break
    return [_row(it, state) for it in reversed(newest)]


async def past_of(desk: Desk, ids: Collection[int]) -> tuple[list[Record], list[Record]]:
    """The ends of the jobs with these ids, newest first, and their newest events, oldest first."""
    ends: list[Record] = []
    events: deque[Record] = deque(maxlen=EVENTS)

    def take(records: list[Record]) -> None:
        for it in records:
            queue = str(it.get("queue"))
            if "state" in it and isinstance(it.get("id"), int) and is_one_of(ids, it["id"], queue):
                ends.append(it)
            elif isinstance(it.get("event"), int) and is_one_of(ids, it["event"], queue):
                events.append(it)

    await desk.history.scan(take, since=_since(desk, ids))
    return ends[::-1], list(events)


def run_of(it: Record) -> Run:
    """One end of a job."""
    finished = moment(it["finished"])
    return Run(
        state=JobState(it["state"]),
        started_at=started(it),
        finished_at=finished,
        attempts=it["attempts"],
        error=it.get("error"),
        result=it.get("result"),
    )


def started(it: Record) -> datetime:
    """When the last attempt of an ended job began."""
    return moment(it["finished"] - round(1000 * it.get("seconds", 0.0)))


def event_of(it: Record) -> JobEvent:
    """One event of a job."""
    return JobEvent(moment(it["at"]), it["attempt"], it["state"], it["percent"], it["data"])


def _since(desk: Desk, ids: Collection[int]) -> float:
    """Before the first of the jobs was made, as its id says; an id of a foreign message says nothing."""
    now = desk.wall()
    oldest = min((id_ >> SEQUENCE_BITS) / 1_000_000 + EPOCH for id_ in ids)
    return max(now - WEEK, oldest - MARGIN) if oldest <= now + MARGIN else now - WEEK


def _row(it: Record, state: JobState) -> JobRow:
    return JobRow(
        id=it["id"],
        queue=it["queue"],
        state=state,
        priority=it["priority"],
        attempts=it["attempts"],
        crashes=it["crashes"],
        since=moment(it["finished"]),
        note=it.get("error"),
    )
