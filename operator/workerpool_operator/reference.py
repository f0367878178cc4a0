"""docs/fields.md, made from the schema of the CRD: `python -m workerpool_operator.reference [--check]`.

The words are those of the contract's models, which `kubectl explain` shows too; there is no second text to keep.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from workerpool_contract import names
from workerpool_operator.constraints import RULES
from workerpool_operator.crd import crd
from workerpool_operator.structural import Schema

FILE = Path("docs/fields.md")
HEADER = f"""\
<!-- Made from contract/workerpool_contract by `make generate`. Do not edit. -->
# What does each field mean?

Every field of a `{names.KIND}`, with its type, bounds and default. `kubectl explain wp.spec.scaling` shows the same
words in a terminal. A manifest with all fields stands in [manifest](manifest.md); how the number of replicas comes
about is told in [scaling](scaling.md).

`metadata.name` is a DNS label of at most 52 characters. Unknown fields are refused by `kubectl` and by `workerpool up`.
A field that is null counts as left out.
"""


def render() -> str:
    """The text of the page."""
    schema: Schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [HEADER]
    for section in ("spec", "status"):
        for path, node in _groups(schema["properties"][section], section):
            parts.append(_group(path, node))
    return "\n".join(parts)


def _groups(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every object with known fields, outer ones first, under its path."""
    yield path, node
    for name, child in node["properties"].items():
        below = child.get("items", child)
        if "properties" in below:
            yield from _groups(below, f"{path}.{name}{'[]' if 'items' in child else ''}")


def _group(path: str, node: Schema) -> str:
    required = node.get("required", [])
    rows = [
        f"| `{name}` | {_type(child)}{', required' if name in required else ''} | {_cell(child)} |"
        for name, child in node["properties"].items()
    ]
    table = ["| Field | Type | Meaning |", "| --- | --- | --- |", *rows]
    return "\n".join([f"## {path}", "", node.get("description", ""), "", *table, "", *_rules(path)])


def _rules(path: str) -> list[str]:
    """The rules between the fields of a group: what is refused, and the cure."""
    found = RULES.get(tuple(path.split(".")), ())
    return ["Refused, with these words:", "", *(f"- {rule.message}." for rule in found), ""] if found else []


def _type(node: Schema) -> str:
    if "items" in node:
        return f"list of {_type(node['items'])}"
    if "enum" in node:
        return " \\| ".join(f"`{word}`" for word in node["enum"])
    if node.get("format") == "date-time":
        return "time"
    return {"integer": "whole number", "string": "text", "boolean": "truth value"}.get(node["type"], "group")


def _cell(node: Schema) -> str:
    bounds = f" At most {node['maxLength']} characters." if "maxLength" in node else ""
    description: str = node["description"]
    return (description + bounds).replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the page; returns the exit code (1: the page differs from the models)."""
    parser = argparse.ArgumentParser(prog="python -m workerpool_operator.reference")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the page is out of date")
    parser.add_argument("file", nargs="?", type=Path, default=FILE, help="where the page is (docs/fields.md)")
    options = parser.parse_args(arguments)
    if not options.check:
        options.file.write_text(render())
        return 0
    if options.file.is_file() and options.file.read_text() == render():
        return 0
    sys.stderr.write(f"{options.file} is out of date; run `make generate`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
