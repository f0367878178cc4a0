"""docs/manifest.md shows manifests that work."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from workerpool_contract.spec import WorkerPoolSpec
from workerpool_operator.manifest import load

PAGE = Path(__file__).parents[3] / "docs" / "manifest.md"
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)]
[WHOLE] = [block for block in BLOCKS if "kind: WorkerPool" in block]
PARTS = [block for block in BLOCKS if "kind:" not in block and "podTemplate:" not in block]


def test_the_whole_manifest_is_accepted() -> None:
    assert [pool.metadata.name for pool in load({"manifest.md": WHOLE}).pools] == ["certificates"]


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_are_accepted_in_its_place(part: str) -> None:
    spec: dict[str, Any] = yaml.safe_load(WHOLE)["spec"]
    assert WorkerPoolSpec.model_validate(spec | yaml.safe_load(part)) is not None


def test_the_page_has_a_part_for_each_source_and_each_kind_of_worker() -> None:
    assert [next(iter(yaml.safe_load(part))) for part in PARTS] == ["source", "worker"]
