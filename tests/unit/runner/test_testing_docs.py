"""The examples of docs/testing.md run and hold."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.e2e.executable_docs import blocks
from workerpool.registry import REGISTRY

PAGE = ROOT / "docs" / "testing.md"

Example = Callable[[], Coroutine[Any, Any, None]]


def _examples() -> dict[str, Example]:
    """The test functions of the page, made in one module, as a reader would paste them."""
    namespace: dict[str, Any] = {"__name__": "docs.testing"}
    with REGISTRY.scoped():
        for block in blocks(PAGE):
            if block.language == "python":
                exec(compile(block.body, f"{PAGE.name}:{block.line}", "exec"), namespace)  # noqa: S102 - our own page
    return {name: value for name, value in namespace.items() if name.startswith("test_")}


EXAMPLES = _examples()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_example_of_the_page_holds(name: str) -> None:
    example = EXAMPLES[name]
    assert inspect.iscoroutinefunction(example)
    async with asyncio.timeout(30):
        await example()
