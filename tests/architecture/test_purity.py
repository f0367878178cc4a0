"""Decisions are values; the clock and the environment come in from the composition roots."""

import ast
import re
import tomllib

from tests.architecture.source import ROOT, SourceFile, dotted, product_files

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {contract["id"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
PURE = tuple(CONTRACTS["pure"]["source_modules"])
"""Modules whose functions answer from their arguments alone; listed with the import contract of the same name."""

ENVIRONMENT_READERS = (
    "workerpool.cli",
    "workerpool.producer",
    "workerpool_operator.main",
    "workerpool_operator.up",
)
"""Composition roots (with their submodules): the only ones that may touch the process environment.

``workerpool.producer`` is among them because ``get_producer()`` and ``publish`` are called by users' own programs.
"""

CLOCK_READERS = (
    "workerpool.cli",
    "workerpool.cluster",
    "workerpool.runner",
    "workerpool_operator.main",
    "workerpool_operator.up",
)
"""Modules that may call a clock. Others are given one: naming ``time.monotonic`` as a default is not calling it.

``workerpool.cluster`` is among them because it waits for a server that it has just started.
"""

CLAIM = re.compile(r"\bpure\b", re.IGNORECASE)
"""What the docstring of a module says that decides and does nothing."""

CLOCK = re.compile(r"^(datetime\.)?(datetime|date)\.(now|utcnow|today)$|^time\.(time|monotonic|perf_counter)(_ns)?$")
IMPURE = re.compile(CLOCK.pattern + r"|^(time|random|secrets|uuid|os|asyncio)\.")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}


def test_listed_modules_exist() -> None:
    modules = {file.module for file in product_files()}
    assert {*PURE, *ENVIRONMENT_READERS, *CLOCK_READERS} <= modules


def test_modules_that_call_themselves_pure_are_listed() -> None:
    said = {file.module for file in product_files() if CLAIM.search(ast.get_docstring(file.tree) or "")}
    assert [module for module in sorted(said) if not _within(module, PURE)] == [], "add it to the contract in pyproject"


def test_pure_modules_call_no_clock_and_no_chance() -> None:
    assert _calls(IMPURE, [file for file in product_files() if _within(file.module, PURE)]) == []


def test_only_listed_modules_call_a_clock() -> None:
    found = _calls(CLOCK, [file for file in product_files() if not _within(file.module, CLOCK_READERS)])
    assert found == [], "take the clock, or the time, as a parameter"


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


def _calls(name: re.Pattern[str], files: list[SourceFile]) -> list[str]:
    """``file:line name`` of every call in ``files`` whose dotted name matches."""
    return [
        f"{file.path.relative_to(ROOT)}:{line} {called}"
        for file in files
        for line, called in file.calls()
        if name.match(called)
    ]


def _within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)
