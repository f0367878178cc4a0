"""Rules that no linter knows."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, SourceFile, product_files

LOCK_FILES = {"uv.lock", "package-lock.json", "go.sum"}

MAY_SLEEP = ("tests/support/patience.py:", "tests/support/crash_app.py:", "tests/support/pod_app.py:")
"""Where waiting for a condition is written once: between two looks it sleeps. And the apps whose handlers take time."""

MAY_SKIP = ("tests/cluster/fixtures.py:",)
"""A cluster takes root, or Docker: where there is none, its tests say so (and fail when CI=true)."""

# Put together here, or this file would break its own rule.
REGISTRY_HOSTS = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
    )
)


def _project_files() -> Iterator[tuple[str, str]]:
    """Path and text of every text file that is, or is about to be, in version control."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and (text := _text(path)) is not None:
            yield name, text


def _text(path: Path) -> str | None:
    """The file's text, None when it is not UTF-8 (pictures)."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def _lines_with(pattern: str, *, suffix: str = "", under: str = "") -> list[str]:
    """``file:line`` of every match, lock files left out."""
    expression = re.compile(pattern)
    return [
        f"{name}:{number}"
        for name, text in _project_files()
        if name.endswith(suffix) and name.startswith(under) and Path(name).name not in LOCK_FILES
        for number, line in enumerate(text.splitlines(), start=1)
        if expression.search(line)
    ]


@pytest.mark.parametrize("file", product_files(), ids=lambda file: file.module)
def test_module_says_what_it_is_for(file: SourceFile) -> None:
    assert ast.get_docstring(file.tree), f"{file.path.relative_to(ROOT)} needs a module docstring"


def test_only_lock_files_name_package_registries() -> None:
    assert _lines_with("|".join(map(re.escape, REGISTRY_HOSTS))) == []


def test_tests_never_sleep() -> None:
    sleeping = r"\btime\.s" + r"leep\(|\basyncio\.s" + r"leep\((?!0\))"
    found = [place for place in _lines_with(sleeping, suffix=".py", under="tests/") if not place.startswith(MAY_SLEEP)]
    assert found == [], "wait for an event, or for a condition with tests.support.patience"


def test_no_test_is_switched_off() -> None:
    switches = r"pytest\.(mark\.)?(s" + r"kip|s" + r"kipif|x" + r"fail)\b"
    found = [place for place in _lines_with(switches, suffix=".py", under="tests/") if not place.startswith(MAY_SKIP)]
    assert found == []


def test_every_suppression_says_why() -> None:
    """The reason stands on the same line. Those that nothing needs are found by ruff and mypy."""
    codes = r"[A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*"
    bare = r"# (no" + rf"qa(: ?{codes})?|type: ig" + r"nore(\[[a-z, -]+\])?|pragma: no c" + r"over)\s*$"
    assert _lines_with(bare, suffix=".py") == [], "remove the need for it, or say why after it"
