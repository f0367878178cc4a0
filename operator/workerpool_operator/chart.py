"""Plots of backlog and replicas over time: text for a terminal, SVG for a file. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

BARS = " ▁▂▃▄▅▆▇█"
INK, GRID, BLUE, ORANGE = "#333333", "#dddddd", "#1f6fb2", "#d9661f"
WIDTH, HEIGHT = 860, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 70, 56, 52


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one quantity at the times of the plot."""

    name: str
    values: Sequence[float]


def sparkline(values: Sequence[float], width: int) -> str:
    """The last ``width`` values as one line of bars; zero is blank."""
    shown = list(values)[-width:]
    top = max(shown, default=0) or 1
    return "".join(BARS[min(8, math.ceil(value / top * 8))] for value in shown)


def text_plot(series: Series, seconds: float, height: int = 5) -> str:
    """One quantity as a block of bars with its scale on the left and the time below."""
    top = max(series.values, default=0) or 1
    rows = []
    for level in range(height - 1, -1, -1):
        cells = (math.ceil(value / top * height * 8) - level * 8 for value in series.values)
        label = f"{top:g}" if level == height - 1 else ""
        rows.append(f"{label:>8} │" + "".join(BARS[min(8, max(0, cell))] for cell in cells))
    width = len(series.values)
    end = f"{seconds:.0f} s"
    rows.append(f"{'0':>8} └" + "─" * width)
    rows.append(f"{'':>10}0 s" + end.rjust(max(len(end) + 1, width - 3)))
    return f"{series.name}\n" + "\n".join(rows)


def svg(title: str, times: Sequence[float], left: Series, right: Series) -> str:
    """Both quantities over ``times`` (seconds) as an SVG: ``left`` as an area, ``right`` as steps on its own axis."""
    end = max(times, default=0) or 1.0
    frame = _Frame(end, nice_top(max(left.values, default=0)), nice_top(max(right.values, default=0)))
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="13" fill="{INK}" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="16" font-weight="bold">{escape(title)}</text>',
        *_legend(left.name, right.name),
        *frame.axes(),
        frame.area(times, left.values),
        frame.steps(times, right.values),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def nice_top(value: float) -> float:
    """The end of an axis: 1, 2, 4, 5 or 10 times a power of ten, at least ``value``."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(factor * unit for factor in (1, 2, 4, 5, 10) if factor * unit >= value)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The drawing area and its three scales."""

    end: float
    left_top: float
    right_top: float

    def x(self, seconds: float) -> float:
        return LEFT + seconds / self.end * (WIDTH - LEFT - RIGHT)

    def y(self, share: float) -> float:
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> list[str]:
        parts = []
        for step in range(5):
            share, y = step / 4, self.y(step / 4)
            parts += [
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>',
                _text(LEFT - 8, y + 4, f"{self.left_top * share:g}", "end", BLUE),
                _text(WIDTH - RIGHT + 8, y + 4, f"{self.right_top * share:g}", "start", ORANGE),
            ]
        tick = nice_top(self.end / 8)
        for index in range(int(self.end / tick) + 1):
            x = self.x(index * tick)
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.y(0):.1f}" y2="{self.y(0) + 5:.1f}" stroke="{INK}"/>'
            )
            parts.append(_text(x, self.y(0) + 20, f"{index * tick:g}", "middle", INK))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "seconds since the start", "middle", INK))
        return parts

    def area(self, times: Sequence[float], values: Sequence[float]) -> str:
        line = " ".join(f"{self.x(t):.1f},{self.y(v / self.left_top):.1f}" for t, v in zip(times, values, strict=True))
        base = self.y(0)
        first, last = self.x(times[0] if times else 0), self.x(times[-1] if times else 0)
        return (
            f'<polygon points="{first:.1f},{base:.1f} {line} {last:.1f},{base:.1f}" fill="{BLUE}" fill-opacity="0.2" '
            f'stroke="{BLUE}" stroke-width="1.5"/>'
        )

    def steps(self, times: Sequence[float], values: Sequence[float]) -> str:
        path, before = [], 0.0
        for seconds, value in zip(times, values, strict=True):
            x = self.x(seconds)
            path += [f"{x:.1f},{self.y(before / self.right_top):.1f}", f"{x:.1f},{self.y(value / self.right_top):.1f}"]
            before = value
        return f'<polyline points="{" ".join(path)}" fill="none" stroke="{ORANGE}" stroke-width="2.5"/>'


def _legend(left: str, right: str) -> list[str]:
    return [
        f'<rect x="{LEFT}" y="33" width="16" height="11" fill="{BLUE}" fill-opacity="0.3" stroke="{BLUE}"/>',
        _text(LEFT + 22, 43, f"{left} (left)", "start", INK),
        f'<line x1="{LEFT + 190}" x2="{LEFT + 210}" y1="39" y2="39" stroke="{ORANGE}" stroke-width="2.5"/>',
        _text(LEFT + 216, 43, f"{right} (right)", "start", INK),
    ]


def _text(x: float, y: float, words: str, anchor: str, colour: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
