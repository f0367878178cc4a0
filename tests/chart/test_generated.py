"""What is generated was generated: definitions, table of values, static manifest, versions."""

import tomllib

import pytest
import yaml

from tests.architecture.source import ROOT
from tests.chart import generate
from tests.chart.helm import CHART, Helm
from tests.chart.values_table import Undocumented, Value, table, values, with_table

CURE = "cure: make generate, then commit"


def test_chart_holds_the_definitions() -> None:
    there = {path: path.read_text(encoding="utf-8") for path in generate.COPIES.iterdir()}
    assert there == generate.copies(), CURE


def test_page_holds_the_values() -> None:
    assert generate.PAGE.read_text(encoding="utf-8") == generate.page(), CURE


@pytest.mark.kubernetes
def test_static_manifest_is_the_default_installation(helm: Helm) -> None:
    assert generate.STATIC.read_text(encoding="utf-8") == generate.static(generate.rendered(helm)), CURE


def test_static_manifest_begins_with_what_the_rest_needs() -> None:
    objects = list(yaml.safe_load_all(generate.STATIC.read_text(encoding="utf-8")))
    assert [item["kind"] for item in objects[:2]] == ["Namespace", "CustomResourceDefinition"]
    assert "helm" not in generate.STATIC.read_text(encoding="utf-8").removeprefix(generate.HEADER).lower()


def test_chart_has_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (project["version"], project["version"])


def test_table_takes_names_from_the_comments() -> None:
    text = "# a is one\n# or two.\na: 1\nb:\n  # b.c is a | list.\n  c: []\n# d holds\nd:\n  e: x\n"
    assert values(text) == [
        Value("a", 1, "is one or two."),
        Value("b.c", [], "is a | list."),
        Value("d", {"e": "x"}, "holds"),
    ]
    assert "| `b.c` | `[]` | is a \\| list. |" in table(text)


@pytest.mark.parametrize("text", ["a: 1\n", "# b is one.\na: 1\n", "# ab is one.\na: 1\n", "a: {}\n"])
def test_value_without_its_comment_is_named(text: str) -> None:
    with pytest.raises(Undocumented, match="a needs a comment"):
        values(text)


def test_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        with_table("# Chart\n", "# a is one.\na: 1\n")
