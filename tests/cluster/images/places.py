"""Where built things are kept between test runs, and the keys that tell whether they are still the right ones."""

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The checkout."""


def cache(name: str) -> Path:
    """The folder ``name`` of this project's cache, created when missing: below $XDG_CACHE_HOME, else ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "workerpool" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def files_below(paths: Iterable[Path]) -> list[Path]:
    """The files among and below ``paths``, sorted; compiled Python left out."""
    found = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


def key_of(files: Iterable[Path], *words: str) -> str:
    """16 hex digits that change with any word, any name and any byte of the files (below the checkout)."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(word.encode() + b"\0")
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(ROOT)}\0{content}\0".encode())
    return digest.hexdigest()[:16]


def say(text: str) -> None:
    """One line of progress: building takes minutes, and nobody should have to guess."""
    print(f"» images: {text}", file=sys.stderr, flush=True)  # noqa: T201 - progress of a long step
