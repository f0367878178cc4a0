"""Settings and fixtures that all tests share."""

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster.fixtures import (
    cluster,
    cluster_database,
    cluster_images,
    cluster_postgres,
    cluster_rabbitmq,
    cluster_s3,
    cluster_vhost,
    components,
    local_machine,
    namespace,
)
from tests.cluster.providers import prepare
from tests.support.fixtures import (
    database,
    empty_database,
    postgres_server,
    rabbitmq_broker,
    s3_program,
    s3_server,
    vhost,
)
from tests.support.s3 import prepare_s3

__all__ = [
    "cluster",
    "cluster_database",
    "cluster_images",
    "cluster_postgres",
    "cluster_rabbitmq",
    "cluster_s3",
    "cluster_vhost",
    "components",
    "database",
    "empty_database",
    "local_machine",
    "namespace",
    "postgres_server",
    "rabbitmq_broker",
    "s3_program",
    "s3_server",
    "vhost",
]

# A busy machine is not a defect: property tests have no time limit per example, only the limit of every test.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in the cluster's network come last: servers of the others don't exist in there."""
    items.sort(key=lambda item: (_needs_cluster(item), "cluster" in getattr(item, "fixturenames", ())))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Programs are built before the time limit of a test could run."""
    if session.config.option.collectonly:
        return
    if any(map(_needs_cluster, session.items)):
        prepare()
    if any("s3_program" in getattr(item, "fixturenames", ()) for item in session.items):
        prepare_s3()


def _needs_cluster(item: pytest.Item) -> bool:
    return item.get_closest_marker("kubernetes") is not None
