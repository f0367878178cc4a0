"""The table of good and bad manifests as files: each case is the text of one manifest with a name of its own."""

import re
from pathlib import Path

from tests.api.bad import BAD
from tests.api.good import GOOD

DEFAULTS = {"source": "source: {postgres: {queue: q}}", "worker": "worker: {app: shop.workers}"}


def slug(title: str) -> str:
    """The title of a case as a file name and as the name of its pool."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:52].strip("-")


def manifest(title: str, text: str) -> str:
    """``text`` as a whole manifest; what a spec needs and ``text`` leaves out is added."""
    if "kind:" in text:
        return text
    missing = [line for section, line in DEFAULTS.items() if not re.search(rf"^{section}:", text, re.MULTILINE)]
    spec = "\n".join([*missing, *text.splitlines()])
    indented = "\n".join(f"  {line}" for line in spec.splitlines())
    return f"apiVersion: workerpool.dev/v1\nkind: WorkerPool\nmetadata: {{name: {slug(title)}}}\nspec:\n{indented}\n"


def texts() -> dict[str, str]:
    """Every case: title -> text of its manifest."""
    cases = {**GOOD, **{title: text for title, (_, text) in BAD.items()}}
    return {title: manifest(title, text) for title, text in cases.items()}


def write(folder: Path) -> None:
    """One file per case, named after it."""
    for title, text in texts().items():
        (folder / f"{slug(title)}.yaml").write_text(text)
