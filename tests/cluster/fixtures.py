"""Fixtures of the tests marked ``kubernetes``."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from tests.cluster.api import Cluster, Unavailable
from tests.cluster.components import Components
from tests.cluster.images.build import Images, ensure_images
from tests.cluster.local import starter
from tests.cluster.local.provider import LocalCluster
from tests.cluster.netns import outside
from tests.cluster.providers import must_be_there, provided
from tests.support.postgres import Server, throw_away
from tests.support.rabbitmq import Broker, Vhost, throw_away_broker
from tests.support.s3 import S3Server, throw_away_s3

PASSWORD = "of-a-throw-away-server"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of this test run. From here on the test process is inside its network (``tests.cluster.netns``)."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(provided())
        except Unavailable as problem:
            _unavailable(problem)
        yield found


@pytest.fixture(scope="session")
def cluster_images(cluster: Cluster) -> Images:
    """The images of this checkout, on the nodes of the cluster."""
    with outside():
        built = ensure_images()
    cluster.load(built.archive)
    return built


@pytest.fixture(scope="session")
def local_machine() -> None:
    """For tests that start clusters of their own: this machine can run them."""
    try:
        starter.check_machine()
    except Unavailable as problem:
        _unavailable(problem)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace of the cluster, deleted afterwards."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture(scope="session")
def cluster_postgres(cluster: Cluster) -> Iterator[Server]:
    """A Postgres server of this machine that pods and the test reach under the same address, with a password."""
    with throw_away(host=cluster.node_address, password=PASSWORD) as server:
        yield server


@pytest.fixture
def cluster_database(cluster_postgres: Server) -> Iterator[str]:
    """The URL, password included, of a fresh and migrated database of that server."""
    name = cluster_postgres.create_database()
    yield cluster_postgres.url(name)
    cluster_postgres.drop_database(name)


@pytest.fixture(scope="session")
def cluster_rabbitmq(cluster: Cluster) -> Iterator[Broker]:
    """A RabbitMQ server of this machine that pods and the test reach under the same address."""
    with throw_away_broker(host=cluster.node_address) as broker:
        yield broker


@pytest.fixture
def cluster_vhost(cluster_rabbitmq: Broker) -> Iterator[Vhost]:
    """A fresh virtual host of that server."""
    made = cluster_rabbitmq.create_vhost()
    yield made
    cluster_rabbitmq.drop_vhost(made)


@pytest.fixture(scope="session")
def cluster_s3(s3_program: Path, cluster: Cluster) -> Iterator[S3Server]:
    """An S3 server of this machine that pods and the test reach under the same address."""
    with throw_away_s3(s3_program, host=cluster.node_address) as server:
        yield server


@pytest.fixture
def components(cluster: Cluster) -> Iterator[Components]:
    """Control over the parts of the cluster; at the end all of them run again, and the API server answers."""
    if not isinstance(cluster, LocalCluster):
        _unavailable(Unavailable("only the local provider lets a test stop a part of the cluster"))
    yield cluster.components
    cluster.components.restore()
    cluster.wait_ready()


def _unavailable(problem: Unavailable) -> NoReturn:
    if must_be_there():
        pytest.fail(str(problem), pytrace=False)
    pytest.skip(str(problem))
