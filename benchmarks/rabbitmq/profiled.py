"""The profile of WorkerPool's worker as tables: by part, and the functions that take most."""

from __future__ import annotations

from collections import Counter

from benchmarks.records import Results
from benchmarks.report import tables

FUNCTIONS = 10
"""How many functions are listed."""
SOURCE = "WorkerPool's source: from message to job, settling, acknowledgements"
RUNNER = "WorkerPool's runner: dispatch, handler call, outcome"
LOOP = "event loop and sockets (uvloop)"
PARTS = {
    "pamqp": "pamqp: decoding and encoding of AMQP frames",
    "aiormq": "aiormq: reading frames, channel and connection",
    "aio_pika": "aio-pika",
    "workerpool.sources.rabbitmq": SOURCE,
    "workerpool.cli": LOOP,
    "workerpool.runner": LOOP,
    "uvloop": LOOP,
    "workerpool": RUNNER,
    "workerpool_contract": RUNNER,
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
    own: dict[str, int] = dict(values["own"])
    within: dict[str, int] = dict(values["within"])
    total, cost = values["samples"], values["worker_cpu"] * 1e6
    words = (
        f"Where the main thread was, {total:,} times by its CPU time, while {values['messages']:,} no-op messages\n"
        f"were worked off; a message took {cost:.0f} us of CPU, the profiler included. What a function makes\n"
        "Python's own modules do counts for the function."
    )
    parts: Counter[str] = Counter()
    for function, count in own.items():
        parts[_part(function.partition(":")[0])] += count
    by_part = [[name, *_cells(count, total, cost)] for name, count in parts.most_common()]
    most = Counter(own).most_common(FUNCTIONS)
    by_function = [[name, *_cells(count, total, cost), f"{within.get(name, 0) / total:.0%}"] for name, count in most]
    heads = ["share", "us per message"]
    return (
        f"{words}\n\n{tables.markdown(['part', *heads], by_part)}\n"
        "The functions that take most themselves:\n\n"
        f"{tables.markdown(['function', *heads, 'share with what it calls'], by_function)}"
    )


def _cells(count: int, total: int, cost: float) -> tuple[str, str]:
    """Share, and microseconds per message."""
    return f"{count / total:.0%}", f"{cost * count / total:.1f}"


def _part(module: str) -> str:
    """The words for a module."""
    prefixes = [prefix for prefix in PARTS if module == prefix or module.startswith(f"{prefix}.")]
    return PARTS[max(prefixes, key=len)] if prefixes else OTHER
