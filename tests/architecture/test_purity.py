"""Decisions are values; the clock and the environment come in from the composition roots."""

import ast
import re
import tomllib

from tests.architecture.source import ROOT, dotted, product_files

PURE = next(
    tuple(contract["source_modules"])
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    if contract["id"] == "pure"
)
"""Modules whose functions answer from their arguments alone; listed with the import contract of the same name."""

ENVIRONMENT_READERS = (
    "workerpool.cli",
    "workerpool.producer",
    "workerpool_operator.main",
)
"""Composition roots (with their submodules): the only ones that may touch the process environment.

``workerpool.producer`` is among them because ``get_producer()`` and ``publish`` are called by users' own programs.
"""

WALL_CLOCK = re.compile(r"^(datetime\.)?(datetime|date)\.(now|utcnow|today)$|^time\.(time|time_ns)$")
IMPURE = re.compile(WALL_CLOCK.pattern + r"|^(time|random|secrets|uuid|os|asyncio)\.")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}


def test_pure_modules_exist() -> None:
    assert set(PURE) <= {file.module for file in product_files()}


def test_pure_modules_call_no_clock_and_no_chance() -> None:
    found = [
        f"{file.path.relative_to(ROOT)}:{line} {name}"
        for file in product_files()
        if _within(file.module, PURE)
        for line, name in file.calls()
        if IMPURE.match(name)
    ]
    assert found == []


def test_only_composition_roots_touch_the_environment() -> None:
    found = [
        f"{file.path.relative_to(ROOT)}:{node.lineno}"
        for file in product_files()
        if not _within(file.module, ENVIRONMENT_READERS)
        for node in ast.walk(file.tree)
        if isinstance(node, ast.expr) and dotted(node) in ENVIRONMENT
    ]
    assert found == [], "pass the value in from a composition root (listed in ENVIRONMENT_READERS)"


def test_the_environment_is_reached_by_its_full_name() -> None:
    """``from os import environ`` would hide it from the test above."""
    found = [
        f"{file.path.relative_to(ROOT)}:{node.lineno}"
        for file in product_files()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and any(f"os.{alias.name}" in ENVIRONMENT for alias in node.names)
    ]
    assert found == [], "write `import os`"


def _within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)
