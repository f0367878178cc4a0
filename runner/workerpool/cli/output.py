"""What commands print: JSON with camelCase names, plain tables, and progress bars on stderr for people only."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

JSON_TEXTS = frozenset({"payload", "headers", "result", "data"})
"""Fields that hold JSON text and are printed as the value it stands for."""
UNLIMITED = 10_000


def print_json(value: object) -> None:
    """Prints a value made of dataclasses, mappings and sequences as one JSON document."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """``value`` as what the json module takes; field names in camelCase, times as ISO 8601 in UTC."""
    if is_dataclass(value) and not isinstance(value, type):
        return {camel(it.name): _field(it.name, getattr(value, it.name)) for it in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _field(name: str, value: object) -> Any:  # noqa: ANN401 - JSON
    if name in JSON_TEXTS and isinstance(value, str):
        return json.loads(value)
    return plain(value)


def camel(name: str) -> str:
    """``enqueued_at`` as ``enqueuedAt``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table without lines; numbers to the right. Into a pipe it is as wide as its content."""
    # Half the time of a short command would go into this import.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    data = [list(row) for row in rows]
    for index, name in enumerate(columns):
        number = bool(data) and all(isinstance(row[index], int) for row in data)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in data:
        table.add_row(*(Text(printable("" if cell is None else str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else UNLIMITED, highlight=False).print(table)


def printable(text: str) -> str:
    """``text`` on one line, without anything that would steer a terminal."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return "⏎" if char == "\n" else char.encode("unicode_escape").decode()


def shortened(text: str, width: int = 80) -> str:
    """``text`` cut to ``width`` characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def moment(at: datetime | None) -> str:
    """A time as people on call compare it with logs: UTC with milliseconds."""
    return "" if at is None else str(plain(at))


def note(text: str) -> None:
    """A remark for people, on stderr: stdout holds results only."""
    click.echo(text, err=True)


class Bar:
    """A progress bar that can be told of progress; without a terminal it is silent."""

    def __init__(self, progress: "Progress | None", task: "TaskID | None") -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: float) -> None:
        """``amount`` more is done, in the unit of the total."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, amount)


@contextmanager
def bar(what: str, total: float, *, in_bytes: bool = False) -> Iterator[Bar]:
    """A bar on stderr while inside, gone afterwards."""
    if not sys.stderr.isatty():
        yield Bar(None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total))
