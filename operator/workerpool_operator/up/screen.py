"""The live view of `up` on a terminal: one row per pool, the reason of its last decision below it."""

from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workerpool_contract.backlog import Backlog, Unknown
from workerpool_operator.chart import sparkline
from workerpool_operator.up.loop import PoolView
from workerpool_operator.up.reporter import busy_of, rate, reason_words, trouble_of

PAST = 24
HINT = "Ctrl-C drains the runners and stops"


class Screen:
    """Draws the pools in place; notes scroll above."""

    def __init__(self, console: Console) -> None:
        """Starts drawing on ``console``."""
        self._past: dict[str, deque[float]] = {}
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def update(self, views: Sequence[PoolView], at: float) -> None:
        """Draws the pools anew."""
        for view in views:
            past = self._past.setdefault(view.name, deque(maxlen=PAST))
            past.append(view.reading.work if isinstance(view.reading, Backlog) else past[-1] if past else 0)
        self._live.update(self._picture(views, at), refresh=True)

    def note(self, words: str) -> None:
        """Prints a line above the table."""
        self._live.console.print(words, markup=False, highlight=False)

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self._live.stop()

    def _picture(self, views: Sequence[PoolView], at: float) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
        for name in ("POOL", "BACKLOG", "", "REPLICAS", "BUSY", "IN/S", "OUT/S", "DEAD"):
            table.add_column(name, justify="left" if name in {"POOL", ""} else "right", no_wrap=True)
        reasons: list[RenderableType] = []
        for view in views:
            table.add_row(*self._row(view))
            reasons += _reasons(view)
        return Group(table, *reasons, Text(f"{at:.0f} s · {HINT}", style="dim"))

    def _row(self, view: PoolView) -> tuple[RenderableType, ...]:
        backlog, dead = _counts(view)
        return (
            Text(view.name, "bold cyan"),
            backlog,
            Text(sparkline(list(self._past[view.name]), PAST).ljust(PAST), "blue"),
            _replicas(view),
            str(busy_of(view)),
            rate(view.rates.arriving),
            rate(view.rates.finishing),
            dead,
        )


def _counts(view: PoolView) -> tuple[Text, Text]:
    """Jobs that need a runner, and dead letters."""
    reading = view.reading
    if isinstance(reading, Unknown):
        return Text("unknown", "yellow"), Text("?")
    return Text(f"{reading.work}{'+' if reading.truncated else ''}"), Text(
        str(reading.dead), "red" if reading.dead else ""
    )


def _replicas(view: PoolView) -> Text:
    ready, kept = view.state.ready, len(view.state.kept)
    draining = len(view.state.replicas) - kept
    text = Text(
        f"{ready}/{view.status.desired_replicas}", "green" if ready >= view.status.desired_replicas else "yellow"
    )
    return text.append(f" -{draining}", "dim") if draining else text


def _reasons(view: PoolView) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if isinstance(view.reading, Unknown):
        lines.append(Text(f"{view.name}: {view.reading.brief}", "yellow"))
    if view.status.reason:
        lines.append(Text(f"{view.name}: {reason_words(view)}", "dim"))
    lines += [Text(f"{view.name}: {words}", "red") for words in trouble_of(view)]
    return [Padding(line, (0, 0, 0, 2)) for line in lines]
