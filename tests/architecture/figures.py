"""Sizes of files and functions, and the budgets that they must keep.

``python -m tests.architecture.figures`` prints them.
"""

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.architecture.source import ROOT, SourceFile, length, product_files

Sized = tuple[int, str]
"""Lines, and the place to look."""


@dataclass(frozen=True)
class Figure:
    """One measured size against its limit, both in lines. ``worst``: the largest places, largest first."""

    name: str
    value: float
    limit: float
    worst: Sequence[Sized]

    @property
    def kept(self) -> bool:
        """Whether the budget holds."""
        return self.value <= self.limit

    def __str__(self) -> str:
        places = "" if self.kept else "".join(f"\n    {size:4d}  {place}" for size, place in self.worst)
        return f"{self.name:18} {self.value:6.1f}   budget {self.limit:4.0f}   {'ok' if self.kept else 'OVER'}{places}"


def measure() -> list[Figure]:
    """All figures of the three packages, compared with the budgets."""
    sources = product_files()
    files = sorted(((source.lines, _place(source)) for source in sources), reverse=True)
    functions = sorted((sized for source in sources for sized in _functions(source)), reverse=True)
    return [
        Figure("file, largest", _percentile(files, 100), 350, files[:5]),
        Figure("file, median", statistics.median(size for size, _ in files), 120, files[:10]),
        Figure("function, longest", _percentile(functions, 100), 60, functions[:5]),
        Figure("function, p90", _percentile(functions, 90), 30, functions[:20]),
        Figure("function, median", statistics.median(size for size, _ in functions), 9, functions[:20]),
    ]


def _functions(source: SourceFile) -> list[Sized]:
    return [(length(node), f"{_place(source)}:{node.lineno} {node.name}") for node in source.functions()]


def _place(source: SourceFile) -> str:
    return str(source.path.relative_to(ROOT))


def _percentile(sized: Sequence[Sized], percent: int) -> int:
    """The smallest size that at least ``percent`` % of the places do not exceed."""
    return sorted(size for size, _ in sized)[math.ceil(len(sized) * percent / 100) - 1]


def main() -> None:
    """Prints the figures; the exit code is 1 when a budget is not kept."""
    figures = measure()
    sys.stdout.writelines(f"  {figure}\n" for figure in figures)
    sys.exit(not all(figure.kept for figure in figures))


if __name__ == "__main__":
    main()
