"""The project's own Python files, parsed: what the tests of this folder look at."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contract/workerpool_contract", "operator/workerpool_operator", "runner/workerpool")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SourceFile:
    """One Python file. ``module``: its dotted name, as it is imported."""

    path: Path
    module: str

    @cached_property
    def text(self) -> str:
        """The file as it is on disk."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed. Raises SyntaxError."""
        return ast.parse(self.text, filename=str(self.path))

    @property
    def lines(self) -> int:
        """All lines: code, comments, docstrings and blank ones."""
        return len(self.text.splitlines())

    def functions(self) -> Iterator[Function]:
        """Functions and methods at every depth, without the bodiless ones of protocols and overloads."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and not _is_stub(node):
                yield node

    def calls(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name ("time.time") of each call whose target is a plain dotted name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := dotted(node.func)):
                yield node.lineno, name


def product_files() -> list[SourceFile]:
    """Every module of the three packages, in a stable order."""
    files = []
    for package in PACKAGES:
        source_root = (ROOT / package).parent
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(source_root).with_suffix("").parts
            files.append(SourceFile(path, ".".join(parts).removesuffix(".__init__")))
    return files


def length(function: Function) -> int:
    """Lines of a function from ``def`` to its end, docstring left out: explaining must not count against anyone."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def dotted(node: ast.expr) -> str:
    """``os.environ`` for the expression of that name, "" for anything that is not names joined by dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (prefix := dotted(node.value)):
        return f"{prefix}.{node.attr}"
    return ""


def _is_stub(function: Function) -> bool:
    """Whether nothing but a docstring and ``...`` is inside."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body)
