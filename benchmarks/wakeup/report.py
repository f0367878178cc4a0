"""The section of docs/benchmarks.md, made from a results file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS
from benchmarks.report import tables

WAKEUPS = RESULTS / "wakeup"
TEXT = Path(__file__).parent / "text.md"
SHARES = (0.5, 0.9, 0.99)
ASKED = {0.5: 200.0, 0.99: 1000.0}
"""Milliseconds that a wake-up may take, by share of all wake-ups."""


def newest() -> Path | None:
    """The newest results, None without any."""
    return max(WAKEUPS.glob("*.json"), default=None)


def section(path: Path) -> str:
    """The section, with these results."""
    found = json.loads(path.read_text(encoding="utf-8"))
    about = found["about"]
    computer = f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}"
    load = f", at a load average of {found['load'][1]:.1f}" if "load" in found else ""
    origin = f"WorkerPool: commit {about['commit']}. Raw figures: {_shown(path)}."
    facts = f"Measured {about['date']} on {computer}{load}. {origin}"
    return f"{TEXT.read_text(encoding='utf-8').strip()}\n\n{facts}\n\n{_table(found)}\n\n{_asked(found)}"


def percentile(values: list[float], share: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _table(found: dict[str, Any]) -> str:
    wakeups = [one["patched"] for one in found["wakeups"]]
    rows = [_row("Deployment patched, to all its replicas at once", wakeups)]
    for key, words in (
        ("patched", "Deployment patched, when pods start"),
        ("ready", "first pod Ready"),
        ("done", "first job done"),
    ):
        rows.append(_row(words, [one[key] for one in found["starts"]]))
    return tables.markdown(["from the commit until", "wake-ups", "p50 ms", "p90 ms", "p99 ms", "worst ms"], rows)


def _row(words: str, values: list[float]) -> list[str]:
    if not values:
        return [words, "0", "", "", "", ""]
    shown = [f"{percentile(values, share):,.0f}" for share in SHARES]
    return [words, str(len(values)), *shown, f"{max(values):,.0f}"]


def _asked(found: dict[str, Any]) -> str:
    values = [one["patched"] for one in found["wakeups"]]
    rows = []
    for share, most in ASKED.items():
        measured = percentile(values, share)
        asked = f"p{share * 100:.0f} at most {most:,.0f} ms"
        rows.append([asked, f"{measured:,.0f} ms", "yes" if measured <= most else "no"])
    return tables.markdown(["asked", "measured", "met"], rows)


def _shown(path: Path) -> str:
    return f"benchmarks/results/wakeup/{path.name}" if path.parent == WAKEUPS else "not kept"
