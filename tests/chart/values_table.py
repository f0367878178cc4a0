"""The table of a chart's values, made from the comments of its values.yaml."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

START = "<!-- values: made from values.yaml by `make generate` -->"
END = "<!-- /values -->"


@dataclass(frozen=True)
class Value:
    """One row: the full ``name``, its ``default`` (parsed YAML) and what it ``means``."""

    name: str
    default: Any
    means: str


class Undocumented(Exception):
    """A value has no comment that begins with its name; the message names it."""


def values(text: str) -> list[Value]:
    """The values of a values.yaml, in its order. Raises Undocumented."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_values(root, text.splitlines(), ()))


def table(text: str) -> str:
    """A Markdown table of the values of a values.yaml. Raises Undocumented."""
    rows = [f"| `{value.name}` | {_default(value.default)} | {_sentence(value)} |" for value in values(text)]
    return "\n".join(["| Value | Default | Meaning |", "| --- | --- | --- |", *rows])


def with_table(page: str, text: str) -> str:
    """``page`` with the table between its two marks put anew. Raises ValueError when it lacks a mark."""
    before, _, rest = page.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page needs the marks {START} and {END}")
    return f"{before}{START}\n{table(text)}\n{END}{after}"


def _values(node: Any, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key, value in node.value:
        here = (*path, key.value)
        name = ".".join(here)
        means = _comment(lines, key.start_mark.line, name)
        if means:
            yield Value(name, yaml.safe_load(yaml.serialize(value)), means)
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _values(value, lines, here)
        else:
            raise Undocumented(f"{name} needs a comment above it that begins with '# {name} '")


def _comment(lines: list[str], line: int, name: str) -> str:
    """The comment right above ``line`` (from 0) without the name that it begins with; "" when there is none."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("# "))
    text = " ".join(found)
    return text.removeprefix(f"{name} ") if text.startswith(f"{name} ") else ""


def _default(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _sentence(value: Value) -> str:
    return value.means.replace("|", "\\|").strip()
