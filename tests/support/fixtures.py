"""Fixtures that need a server: one per test process; a database or a virtual host per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Server, throw_away
from tests.support.rabbitmq import Broker, Vhost, throw_away_broker
from tests.support.s3 import S3Server, s3_binary, throw_away_s3


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The server of this test process; don't stop it, others use it too (``throw_away`` starts one of your own)."""
    with throw_away() as server:
        yield server


@pytest.fixture
def database(postgres_server: Server) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def empty_database(postgres_server: Server) -> Iterator[str]:
    """The URL of a fresh database without any migration."""
    name = postgres_server.create_database(template=None)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def rabbitmq_broker() -> Iterator[Broker]:
    """The server of this test process; don't stop it, others use it too (``throw_away_broker`` starts your own)."""
    with throw_away_broker() as broker:
        yield broker


@pytest.fixture
def vhost(rabbitmq_broker: Broker) -> Iterator[Vhost]:
    """A fresh, empty virtual host."""
    made = rabbitmq_broker.create_vhost()
    yield made
    rabbitmq_broker.drop_vhost(made)


@pytest.fixture(scope="session")
def s3_program() -> Path:
    """The program of the S3 server, built; tests that ask for it may call ``throw_away_s3`` with it."""
    return s3_binary()


@pytest.fixture(scope="session")
def s3_server(s3_program: Path) -> Iterator[S3Server]:
    """The server of this test process; don't stop it, others use it too (``throw_away_s3`` starts your own)."""
    with throw_away_s3(s3_program) as server:
        yield server
