"""What every test of the runner starts from."""

from collections.abc import Iterator

import pytest

from workerpool.registry import REGISTRY


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """Workers of one test are unknown to the next."""
    with REGISTRY.scoped():
        yield
