"""The workers in docs/handlers.md can be declared and called as written."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from workerpool.registry import REGISTRY
from workerpool.signatures import shape_of

PAGE = Path(__file__).parents[3] / "docs" / "handlers.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_declares_a_worker_that_can_run(example: str) -> None:
    with REGISTRY.scoped():
        exec(compile(example, str(PAGE), "exec"), ModuleType("example").__dict__)  # noqa: S102 - our own page
        (definition,) = REGISTRY.definitions
        shape_of(definition)
        definition.bind()


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 5
