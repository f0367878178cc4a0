"""Files and functions stay small enough to be read in one go."""

import pytest

from tests.architecture.figures import Figure, measure


@pytest.mark.parametrize("figure", measure(), ids=lambda figure: figure.name)
def test_size_budget_is_kept(figure: Figure) -> None:
    assert figure.kept, f"over budget, split the largest:\n{figure}"
