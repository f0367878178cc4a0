"""Parts that the pages of all measurements have in common."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.model import Startable
from benchmarks.records import Results
from benchmarks.report import tables
from benchmarks.report.summary import absent
from benchmarks.report.verdicts import Verdict

MET = {True: "yes", False: "no", None: "n/a"}


def versions(results: Results, contenders: Iterable[Startable], *ours: str) -> str:
    """Interpreter, ``ours`` and the contenders, or why they are missing."""
    missing, found = absent(results), results.machine["versions"]
    named = [f"Python {results.machine['python']}", *ours]
    for contender in contenders:
        if contender.name in missing:
            named.append(f"{contender.name}: {missing[contender.name]}")
        elif contender.package in found:
            named.append(f"{contender.package} {found[contender.package]}")
    return ", ".join(named)


def asked(found: Iterable[Verdict]) -> str:
    """The targets."""
    rows = [[verdict.asked, verdict.measured, MET[verdict.met]] for verdict in found]
    return tables.markdown(["asked of WorkerPool", "measured", "met"], rows)


def behind(sentences: Iterable[str]) -> str:
    """Where others are ahead."""
    return "\n".join(f"- {sentence}" for sentence in sentences) or "- Nowhere, in the quantities above."
