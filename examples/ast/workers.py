"""The worker of the demo: reads one Python file and measures it."""

import ast
from pathlib import Path

from pydantic import BaseModel

from workerpool import TerminalError, worker

BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.With,
    ast.AsyncWith,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class SourceFile(BaseModel):
    """The payload: a file of this machine, and the name of its module."""

    path: str
    module: str


class Measures(BaseModel):
    """The result: counts of one file. ``complexity`` is cyclomatic: 1 per function plus 1 per branch."""

    module: str
    lines: int
    functions: int
    classes: int
    imports: int
    complexity: int


@worker(topic="python-files", input_schema=SourceFile, output_schema=Measures)
def measure(file: SourceFile) -> Measures:
    """Parses the file. One that is no Python of this version is a dead letter: no retry could help."""
    text = Path(file.path).read_bytes()
    try:
        tree = ast.parse(text, filename=file.path)
    except (SyntaxError, ValueError) as error:
        raise TerminalError(f"{file.module} can't be parsed: {error}") from None
    return measures_of(file.module, tree, text.count(b"\n"))


def measures_of(module: str, tree: ast.Module, lines: int) -> Measures:
    """Counts what is in ``tree``."""
    nodes = list(ast.walk(tree))
    functions = sum(isinstance(node, FUNCTIONS) for node in nodes)
    branches = sum(isinstance(node, BRANCHES) for node in nodes)
    operators = sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))
    return Measures(
        module=module,
        lines=lines,
        functions=functions,
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        imports=sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes),
        complexity=functions + branches + operators,
    )
