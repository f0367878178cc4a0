"""Settlements as the arrays that the SQL functions take: pure translation, one column each."""

from collections.abc import Sequence
from typing import NamedTuple

from workerpool.outcome import SUCCEEDED, Completed, DeadLetter, Expired, Interrupted, Retry, Stale, Succeeded
from workerpool.sources.base import Job, Settlement

NOT_FINISHED = frozenset({Interrupted, Stale, Completed})
"""Outcomes that finish nothing here: handed back, lost, or finished by the handler itself."""


class Handle(NamedTuple):
    """What the engine needs to find a claimed row again: its queue's number and the claim it came with."""

    queue_id: int
    claim: int


class Columns(NamedTuple):
    """Jobs as parallel arrays, sorted by id (everybody locks rows in the same order)."""

    queues: list[int]
    priorities: list[int]
    ids: list[int]
    claims: list[int]


def columns(jobs: Sequence[Job]) -> Columns:
    """The arrays that extend and release take; ``jobs`` must be sorted by id already."""
    return Columns(
        [job.handle[0] for job in jobs],
        [job.priority for job in jobs],
        [job.id for job in jobs],
        [job.handle[1] for job in jobs],
    )


class Extras(NamedTuple):
    """What ``finish`` takes beyond the plain columns, when some job has more to say than "completed"."""

    outcomes: list[str | None]
    delays: list[float | None]
    reasons: list[str | None]
    errors: list[str | None]
    workers: list[str | None]
    results: list[str | None]
    output_ids: list[int]
    topics: list[str]
    payloads: list[str]


class Batch(NamedTuple):
    """Settlements ready to send: what ``finish`` takes, and what ``release`` takes. Both sorted by id."""

    finished: list[Job]
    milliseconds: list[int]
    extras: Extras | None
    released: list[Job]


def batch(settlements: Sequence[Settlement]) -> Batch:
    """Sorts settlements by id and splits them into finished and handed back."""
    ordered = sorted(settlements, key=_by_id)
    released = [job for job, outcome, _, _ in ordered if type(outcome) is Interrupted]
    finished = [it for it in ordered if type(it[1]) not in NOT_FINISHED]
    plain = all(it[1] is SUCCEEDED for it in finished)
    return Batch(
        [it[0] for it in finished],
        [int(it[2] * 1000) for it in finished],
        None if plain else _extras(finished),
        released,
    )


def _by_id(settlement: Settlement) -> int:
    return settlement[0].id


def _extras(finished: Sequence[Settlement]) -> Extras:
    rows = [_row(it) for it in finished]
    published = [(it.job.id, output) for it in finished for output in getattr(it.outcome, "outputs", ())]
    return Extras(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        [it.worker for it in finished],
        [row[4] for row in rows],
        [job_id for job_id, _ in published],
        [output.topic for _, output in published],
        [output.payload for _, output in published],
    )


_Row = tuple[str | None, float | None, str | None, str | None, str | None]


def _row(settlement: Settlement) -> _Row:
    """Outcome, delay, reason, error and result of one settlement."""
    match settlement.outcome:
        case Succeeded(result, _):
            return (None, None, None, None, result)
        case Retry(delay, error):
            return ("retry", delay, None, storable(error), None)
        case DeadLetter(reason, error, _):
            return ("dead", None, str(reason), storable(error), None)
        case Expired():
            return ("expired", None, None, None, None)
        case _:
            msg = f"{type(settlement.outcome).__name__} is not settled by finish"
            raise TypeError(msg)


def storable(text: str) -> str:
    """Postgres text holds no NUL, and UTF-8 no lone surrogate (they come with undecodable file names)."""
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "backslashreplace").decode()
