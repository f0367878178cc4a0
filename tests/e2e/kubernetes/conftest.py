"""Fixtures of the proofs on a real cluster: the operator, installed once for all tests that use it, and pools."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.api import Cluster
from tests.cluster.images.build import Images
from tests.e2e.kubernetes.pool import Pool, make_table, pool_manifest, surroundings
from tests.e2e.kubernetes.release import Operator, installed
from tests.support.patience import until
from tests.support.tables import Tables

NewPool = Callable[..., Pool]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The operator stays installed from its first test on, so those that want a bare cluster come before."""
    items.sort(key=lambda item: "operator" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def operator(cluster: Cluster, cluster_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The operator, installed by the chart with its default values; every test leaves it running."""
    with installed(cluster, cluster_images, tmp_path_factory.mktemp("helm")) as release:
        yield release


@pytest.fixture
def new_pool(operator: Operator, namespace: str, cluster_database: str) -> NewPool:
    """Makes pools in a fresh namespace and database: ``new_pool(queue="files", worker={…}, scaling={…}) -> Pool``.

    They run tests/support/pod_app.py in the image of examples/ast, and are asleep and Ready when the call returns.
    """
    tables = Tables(cluster_database)
    make_table(tables)
    operator.cluster.apply(surroundings(cluster_database), namespace)

    def make(
        name: str = "files",
        queue: str = "files",
        worker: dict[str, Any] | None = None,
        scaling: dict[str, Any] | None = None,
    ) -> Pool:
        image = operator.images.example.ref
        operator.cluster.apply(pool_manifest(name, queue, image, worker or {}, scaling or {}), namespace)
        pool = Pool(operator.cluster, namespace, name, queue, tables)
        until(lambda: pool.condition("Ready").get("status") == "True", 60, pool.story)
        return pool

    return make
