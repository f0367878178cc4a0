"""Fixtures of the proofs on a real cluster: the operator, installed once for all tests that use it, and pools."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.cluster.api import Cluster, Unavailable
from tests.cluster.images.build import Images
from tests.e2e.kubernetes.pool import Pool, make_table, pool_manifest, surroundings
from tests.e2e.kubernetes.queues import PostgresQueues, Queues, RabbitmqQueues
from tests.e2e.kubernetes.release import Operator, installed
from tests.e2e.kubernetes.rights import denied
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
        # Only the local provider has an audit log.
        with suppress(Unavailable):
            assert denied(release.requests()) == [], "the chart's rights are not enough"


@pytest.fixture
def queues(request: pytest.FixtureRequest, cluster_database: str) -> Queues:
    """Where the jobs of the test's pools are: in the database, or what ``every_source`` says."""
    tables = Tables(cluster_database)
    if getattr(request, "param", "postgres") == "postgres":
        return PostgresQueues(tables)
    return RabbitmqQueues(request.getfixturevalue("cluster_vhost"), tables)


every_source = pytest.mark.parametrize("queues", ["postgres", "rabbitmq"], indirect=True)
"""A test with this mark runs once per source that a manifest can name."""


@pytest.fixture
def new_pool(operator: Operator, namespace: str, cluster_database: str, queues: Queues) -> Iterator[NewPool]:
    """Makes pools in a fresh namespace and database: ``new_pool(queue="files", worker={…}, scaling={…}) -> Pool``."""
    yield pool_maker(operator, namespace, cluster_database, queues)
    # A namespace keeps them until its pods are gone, a minute or more: they would disturb the next tests.
    operator.cluster.kubectl("delete", "workerpools", "--all", f"--namespace={namespace}", "--ignore-not-found")


def pool_maker(operator: Operator, namespace: str, url: str, queues: Queues | None = None) -> NewPool:
    """Makes pools whose app tells the database at ``url`` what it did; their jobs are there too, or in ``queues``.

    They run tests/support/pod_app.py in the image of examples/ast, and are asleep and Ready when the call returns.
    """
    tables = Tables(url)
    make_table(tables)
    operator.cluster.apply(surroundings((queues or PostgresQueues(tables)).url), namespace)

    def make(
        name: str = "files",
        queue: str = "files",
        worker: dict[str, Any] | None = None,
        scaling: dict[str, Any] | None = None,
    ) -> Pool:
        image = operator.images.example.ref
        operator.cluster.apply(pool_manifest(name, queue, image, worker or {}, scaling or {}, queues), namespace)
        pool = Pool(operator.cluster, namespace, name, queue, tables, queues)
        until(lambda: pool.condition("Ready").get("status") == "True", 60, pool.story)
        return pool

    return make
