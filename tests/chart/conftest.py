"""The chart rendered by both versions of Helm, with each set of values."""

from pathlib import Path
from typing import Final

import pytest

from tests.chart.helm import CHART, VERSIONS, Helm, Objects, program

SETS: Final = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"helm{version}")
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 3, then Helm 4."""
    return Helm(program(request.param), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session", params=SETS, ids=lambda name: name.removesuffix("-values.yaml"))
def values(request: pytest.FixtureRequest) -> Path:
    """Each set of values that the chart is checked with."""
    return CHART / "ci" / str(request.param)


@pytest.fixture(scope="session")
def objects(helm: Helm, values: Path) -> Objects:
    """What an installation with that set would create, the test included."""
    return helm.render(f"--values={values}")
