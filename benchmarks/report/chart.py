"""The plot of the page: a bar per setting, no-op jobs per second."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.report.summary import LIMITS, US, Figure, pick

WIDTH, ROW, LABELS, TOP, RIGHT = 960, 24, 450, 48, 90
COLOURS = {US: "#0b6e4f"} | dict.fromkeys(LIMITS, "#b8b8b8")
OTHER, PALE = "#4a6fa5", "#a9bddb"


def svg(found: Sequence[Figure], measure: str = "throughput", what: str = "jobs") -> str:
    """The plot as SVG, fastest first; the thin line over a bar goes from the slowest to the fastest run."""
    title = f"No-op {what} per second, one worker process on one core"
    rows = sorted(pick(found, measure), key=lambda figure: -figure.values["per_second"].median)
    most = max((row.values["per_second"].high for row in rows), default=1.0)
    step = _step(most)
    height = TOP + ROW * len(rows) + 34
    scale = (WIDTH - LABELS - RIGHT) / (math.ceil(most / step) * step)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'font-family="system-ui, sans-serif" font-size="12">'
        ),
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        (
            '<text x="12" y="26" font-size="15" font-weight="600" fill="#222">'
            f"{title} (median; line: slowest to fastest run)</text>"
        ),
        *_grid(step, most, scale, height),
    ]
    for place, row in enumerate(rows):
        parts += _bar(row, TOP + ROW * place, scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(step: float, most: float, scale: float, height: int) -> Iterator[str]:
    """Vertical lines with their values."""
    for number in range(math.ceil(most / step) + 1):
        x = LABELS + number * step * scale
        bottom = height - 26
        yield f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#e4e4e4"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555">{number * step:,.0f}</text>'


def _bar(row: Figure, top: float, scale: float) -> Iterator[str]:
    """Label, bar, spread and value of one setting."""
    rate = row.values["per_second"]
    colour = COLOURS.get(row.contender, PALE if row.part != "best" else OTHER)
    middle = top + ROW / 2
    end = LABELS + rate.median * scale
    label = f"{row.contender}: {row.setting}"
    label = label if len(label) <= 66 else f"{label[:65]}…"
    yield f'<text x="{LABELS - 8}" y="{middle + 4:.1f}" text-anchor="end" fill="#222">{escape(label)}</text>'
    size = f'width="{max(1.0, rate.median * scale):.1f}" height="{ROW - 8}"'
    yield f'<rect x="{LABELS}" y="{top + 4:.1f}" {size} fill="{colour}"/>'
    low, high = LABELS + rate.low * scale, LABELS + rate.high * scale
    yield f'<line x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}" stroke="#222"/>'
    value = max(end, high) + 6
    yield f'<text x="{value:.1f}" y="{middle + 4:.1f}" fill="#222">{rate.median:,.0f}</text>'


def _step(most: float) -> float:
    """A round distance that gives four to eight grid lines."""
    rough = most / 6
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
