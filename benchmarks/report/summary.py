"""Figures from records: median, least and most over the runs of one setting."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.model import Record
from benchmarks.records import Results

US = "WorkerPool"
LIMIT = "bare asyncpg loop"
"""Not a job queue; shown for scale, never compared with."""
LIMITS = (LIMIT, "aiormq alone", "aio-pika alone")
"""The same, with the client libraries on RabbitMQ."""


@dataclass(frozen=True)
class Spread:
    """One quantity over the runs of one setting."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Figure:
    """What was measured of one contender at one setting; `mode` names the producer's way where it enqueued.

    `values` is empty when every run failed, `error` then says why. `disturbed` says that no run had a quiet machine.
    """

    measure: str
    contender: str
    setting: str
    part: str
    mode: str
    runs: int
    disturbed: bool
    error: str
    values: Mapping[str, Spread]

    def median(self, quantity: str) -> float | None:
        """The median of a quantity, None when it was not measured."""
        spread = self.values.get(quantity)
        return None if spread is None else spread.median


def figures(results: Results) -> list[Figure]:
    """All figures, in the order of measurement."""
    groups: dict[tuple[str, str, str, str, str], list[Record]] = {}
    for record in results.records:
        if record.measure == "install":
            continue
        mode = str(record.values.get("mode", ""))
        key = record.measure, record.contender, record.setting, record.part, mode
        groups.setdefault(key, []).append(record)
    return [_figure(key, records) for key, records in groups.items()]


def absent(results: Results) -> dict[str, str]:
    """Contenders that could not be measured at all, with the reason."""
    return {record.contender: record.error for record in results.records if record.measure == "install"}


def pick(found: Iterable[Figure], measure: str, part: str = "", mode: str = "") -> list[Figure]:
    """The figures of one measure that have values."""
    return [
        figure
        for figure in found
        if figure.measure == measure and figure.values and figure.mode == mode and part in {"", figure.part}
    ]


def ours(found: Iterable[Figure], measure: str, mode: str = "") -> Figure | None:
    """WorkerPool's own figure, at its default setting without history."""
    mine = [figure for figure in pick(found, measure, mode=mode) if figure.contender == US]
    return mine[0] if mine else None


def _figure(key: tuple[str, str, str, str, str], records: list[Record]) -> Figure:
    """Clean runs count; where there is none, the disturbed ones do, and the figure says so."""
    good = [record for record in records if not record.error]
    clean = [record for record in good if record.clean]
    used = clean or good
    error = "" if used else records[-1].error
    return Figure(*key, runs=len(used), disturbed=not clean and bool(good), error=error, values=_spreads(used))


def _spreads(records: list[Record]) -> dict[str, Spread]:
    """Spread by quantity, for the quantities that are numbers in every run."""
    if not records:
        return {}
    names = [name for name in records[0].values if all(_is_number(record.values.get(name)) for record in records)]
    columns = {name: [float(record.values[name]) for record in records] for name in names}
    return {name: Spread(min(column), statistics.median(column), max(column)) for name, column in columns.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
