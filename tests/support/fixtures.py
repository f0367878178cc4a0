"""Fixtures that need a Postgres server: one server per test process, one database per test."""

from collections.abc import Iterator

import pytest

from tests.support.postgres import Server, throw_away


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
