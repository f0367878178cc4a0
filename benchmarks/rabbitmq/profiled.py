"""The profile of WorkerPool's worker as tables: by part, and the functions that take most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchmarks.records import Results
from benchmarks.report import tables

FUNCTIONS = 10
"""How many functions are listed."""
PARTS = {
    "pamqp": "pamqp: decoding and encoding of AMQP frames",
    "aiormq": "aiormq: reading frames, channel and connection",
    "aio_pika": "aio-pika",
    "workerpool.sources.rabbitmq": "WorkerPool's source: from message to job, settling, acknowledgements",
    "workerpool.cli": "event loop and sockets (uvloop)",
    "workerpool.runner": "event loop and sockets (uvloop)",
    "uvloop": "event loop and sockets (uvloop)",
    "workerpool": "WorkerPool's runner: dispatch, handler call, outcome",
    "workerpool_contract": "WorkerPool's runner: dispatch, handler call, outcome",
    "benchmarks": "the handler",
}
"""Words by the longest prefix of a module's name."""
OTHER = "the rest"


def profile(results: Results) -> str:
    """Two tables, or a line that says that nothing was profiled."""
    found = [record for record in results.records if record.measure == "profile" and not record.error]
    if not found:
        return "Not measured in this run."
    values = found[-1].values
    places: list[tuple[str, str, int]] = [(owner, function, count) for owner, function, count in values["places"]]
    total, cost = values["samples"], values["worker_cpu"] * 1e6
    words = (
        f"Samples of the main thread every 2 ms of CPU time, {total:,} in all, while {values['messages']:,} no-op\n"
        f"messages were worked off; a message took {cost:.0f} us of CPU, the profiler included. What a library makes\n"
        "Python's own modules do counts for the library."
    )
    by_part = _rows(((_part(owner), count) for owner, _, count in places), total, cost)
    by_function = _rows(((function, count) for _, function, count in places), total, cost)[:FUNCTIONS]
    heads = ["share", "us per message"]
    return (
        f"{words}\n\n{tables.markdown(['part', *heads], by_part)}\n"
        f"The functions that take most, without what they call:\n\n{tables.markdown(['function', *heads], by_function)}"
    )


def _rows(counts: Iterable[tuple[str, int]], total: int, cost: float) -> list[list[str]]:
    """Largest first: name, share, microseconds per message."""
    sums: Counter[str] = Counter()
    for name, count in counts:
        sums[name] += count
    return [[name, f"{count / total:.0%}", f"{cost * count / total:.1f}"] for name, count in sums.most_common()]


def _part(owner: str) -> str:
    """The words for a module."""
    prefixes = [prefix for prefix in PARTS if owner == prefix or owner.startswith(f"{prefix}.")]
    return PARTS[max(prefixes, key=len)] if prefixes else OTHER
