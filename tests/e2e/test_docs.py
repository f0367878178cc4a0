"""The documentation is true: its commands run and print what it promises, its code and data parse."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.executable_docs import Block, Command, blocks, commands, pages, parse, typed
from tests.e2e.fresh_clone import ROOT, copy_clone

ALL_BLOCKS = [block for page in pages(ROOT) for block in blocks(page)]
COMMAND_SECONDS = 120
LINK = re.compile(r"\]\(([^)\s]+)\)")

pytestmark = pytest.mark.e2e


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _run(command: Command, folder: Path, page: Path) -> None:
    """Types one command in ``folder`` as a reader would, with a home of its own, and compares the output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WORKERPOOL_", "PG"))}
    environment |= {
        "HOME": str(folder),
        "WORKERPOOL_STATE_DIR": str(folder / ".state"),
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    result = typed(command, folder, environment, COMMAND_SECONDS)
    place = f"{_name(page)}:{command.line}: {command.text}"
    assert result.returncode == 0, f"{place}\nfailed with {result.returncode}:\n{result.stdout}"
    assert command.matches(result.stdout), f"{place}\npromised:\n{command.expected}\nprinted:\n{result.stdout}"


@pytest.fixture
def clone() -> Iterator[Path]:
    """A fresh copy of the repository. Its path is short, because a database's socket will lie below it."""
    with TemporaryDirectory(prefix="wp-docs-") as name:
        copy_clone(Path(name))
        yield Path(name)


@pytest.mark.parametrize("page", pages(ROOT), ids=_name)
def test_commands_do_what_the_page_says(page: Path, clone: Path) -> None:
    for block in blocks(page):
        if block.language == "console" and block.covered_by is None and not block.on_cluster:
            for command in commands(block):
                _run(command, clone, page)


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: f"{_name(block.page)}:{block.line}")
def test_block_is_checkable(block: Block) -> None:
    assert block.language not in {"bash", "sh", "shell"}, "write a console block, so that its commands are run"
    parse(block)
    if block.covered_by is None:
        return
    proof = (ROOT / block.covered_by).read_text(encoding="utf-8")
    missing = [command.text for command in commands(block) if command.text not in proof]
    assert missing == [], f"{block.covered_by} does not contain these commands, so nothing proves them"


@pytest.mark.parametrize("page", pages(ROOT), ids=_name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = [target.split("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert broken == []


def test_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text(encoding="utf-8"))}
    lost = [_name(page) for page in index.parent.glob("*.md") if page != index and page not in linked]
    assert lost == [], "add a line to docs/README.md: the question that the page answers"
