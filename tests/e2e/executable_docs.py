"""Finds the fenced blocks of the documentation and runs what a reader would type.

Kinds of block, by the words after the opening fence:

- ``console``: lines beginning with "$ " are typed, "> " continues one, the rest is the expected output, where "…"
  stands for anything. All console blocks of a page run in order, in one folder that looks like a fresh clone.
- ``console cluster``: the same on a Kubernetes, in a folder of their own, run by ``tests/e2e/kubernetes/test_docs.py``.
  A question (``kubectl get``, ``describe``) is asked again until its answer is the promised one.
- ``console covered-by=PATH``: cannot run inside a test (it installs something, or runs until it is stopped). The test
  file at PATH, or the page whose blocks are run, must contain every command word for word; it is what proves them.
- ``bash``, ``sh``, ``shell``: refused, so that nothing looks like a command and is never run.
- ``python``, ``json``, ``yaml``: must parse.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.commands import run_command

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
COVERED_BY = "covered-by="


@dataclass(frozen=True)
class Block:
    """One fenced block. ``line``: of its opening fence, from 1. ``words``: what follows the fence."""

    page: Path
    line: int
    words: tuple[str, ...]
    body: str

    @property
    def language(self) -> str:
        """The first word after the fence, "" when there is none."""
        return self.words[0] if self.words else ""

    @property
    def on_cluster(self) -> bool:
        """Whether its commands need a Kubernetes."""
        return self.language == "console" and "cluster" in self.words

    @property
    def covered_by(self) -> str | None:
        """The test file that proves this block, relative to the repository; None when the block itself is run."""
        return next((word.removeprefix(COVERED_BY) for word in self.words if word.startswith(COVERED_BY)), None)


@dataclass(frozen=True)
class Command:
    """What is typed, and the output a reader is promised ("" promises nothing)."""

    line: int
    text: str
    expected: str

    def matches(self, output: str) -> bool:
        """Whether ``output`` is the promised one, "…" standing for anything."""
        if not self.expected:
            return True
        pattern = ".*".join(re.escape(part) for part in self.expected.strip().split("…"))
        return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def pages(root: Path) -> list[Path]:
    """README, CONTRIBUTING and everything under docs/ and examples/, in a stable order."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/**/*.md")])


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        body = re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
        yield Block(page, text.count("\n", 0, found.start()) + 1, tuple(found["info"].split()), body)


def commands(block: Block) -> list[Command]:
    """The commands of a console block with their promised outputs."""
    found: list[Command] = []
    for number, line in enumerate(block.body.splitlines(), start=block.line + 1):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], ""))
        elif found and line.startswith("> "):
            found[-1] = Command(found[-1].line, f"{found[-1].text}\n{line[2:]}", "")
        elif found:
            found[-1] = Command(found[-1].line, found[-1].text, f"{found[-1].expected}{line}\n")
        else:
            raise ValueError(f"{block.page.name}:{number}: a console block begins with a command: '$ …'")
    return found


def parse(block: Block) -> None:
    """Raises SyntaxError, json.JSONDecodeError or yaml.YAMLError when a block of data or code is not well-formed."""
    if block.language == "python":
        compile(block.body, f"{block.page.name}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    elif block.language == "json":
        json.loads(block.body)
    elif block.language == "yaml":
        list(yaml.safe_load_all(block.body))


def typed(
    command: Command, folder: Path, environment: Mapping[str, str], seconds: float
) -> "subprocess.CompletedProcess[str]":
    """Runs a command as a reader types it; what it prints, errors included, is in ``stdout``."""
    return run_command(["bash", "-euo", "pipefail", "-c", command.text], folder, environment, seconds)
