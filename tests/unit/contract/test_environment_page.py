"""docs/environment.md lists every variable with its older names and its default."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from workerpool_contract.archive import ARCHIVE_VARIABLES, ArchiveSettings
from workerpool_contract.environment import VARIABLES, RunnerSettings
from workerpool_contract.variables import Variable, write

PAGE = Path(__file__).parents[3] / "docs" / "environment.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<default>[^|]*?) ?\| [^|]* \| (?P<older>[^|]*?) ?\|$", re.MULTILINE)


def test_the_page_lists_every_variable() -> None:
    rows = {row["name"]: row for row in ROW.finditer(PAGE.read_text("utf-8"))}
    assert list(rows) == [variable.name for variable in (*VARIABLES, *ARCHIVE_VARIABLES)]
    for variable in (*VARIABLES, *ARCHIVE_VARIABLES):
        assert re.findall(r"`(\w+)`", rows[variable.name]["older"]) == [alias.name for alias in variable.aliases]


def test_the_page_shows_the_defaults() -> None:
    rows = {row["name"]: row["default"] for row in ROW.finditer(PAGE.read_text("utf-8"))}
    said = _defaults(VARIABLES, RunnerSettings) | _defaults(ARCHIVE_VARIABLES, ArchiveSettings)
    shown = {name: rows[name] for name, value in said.items() if value != ()}
    assert shown == {name: write(value) for name, value in said.items() if value != ()}


def _defaults(variables: Sequence[Variable], settings: type[RunnerSettings | ArchiveSettings]) -> dict[str, Any]:
    """The default of each variable that has one."""
    defaults = {field.name: field.default for field in fields(settings)}
    return {variable.name: defaults[variable.field] for variable in variables if defaults[variable.field] is not None}
