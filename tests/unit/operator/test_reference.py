"""docs/fields.md is made from the schema: every field is in it, and it is not out of date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workerpool_operator import reference
from workerpool_operator.constraints import RULES
from workerpool_operator.crd import crd

PAGE = Path(__file__).parents[3] / "docs" / "fields.md"


def fields(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and description of every field inside a schema."""
    for name, child in node.get("properties", {}).items():
        yield name, child["description"]
        yield from fields(child.get("items", child))


def test_the_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """`make generate` was run."""
    assert reference.main(["--check", str(PAGE)]) == 0, capsys.readouterr().err


def test_check_fails_on_drift_and_generation_repairs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "fields.md"
    page.write_text("stale")
    assert reference.main(["--check", str(page)]) == 1
    assert "make generate" in capsys.readouterr().err
    assert reference.main([str(page)]) == 0
    assert reference.main(["--check", str(page)]) == 0


def test_every_field_and_every_rule_is_on_the_page() -> None:
    """With the words that `kubectl explain` prints."""
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    text = reference.render()
    for section in ("spec", "status"):
        for name, description in fields(schema[section]):
            assert f"| `{name}` | " in text
            assert description in text, name
    for path, rules in RULES.items():
        assert not path or all(f"- {rule.message}." in text for rule in rules), path
    assert "From 1 to 1000. Default: 10." in text
