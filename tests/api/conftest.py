"""Fixtures of the tests that need an API server, but no node."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.apiserver import ADMIN_TOKEN, ApiServer, api_server, namespace
from workerpool_operator.kube.account import service_account
from workerpool_operator.kube.client import Client, in_pod

__all__ = ["api_server", "namespace"]

Connect = Callable[..., Client]
"""A client with the rights of a token, the administrator's unless another is given."""


@pytest.fixture
async def connect(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Connect]:
    """Makes clients as a pod does; closes them afterwards."""
    clients: list[Client] = []

    def with_token(token: str = ADMIN_TOKEN) -> Client:
        folder = api_server.service_account_folder(tmp_path / f"account-{len(clients)}", token)
        account = service_account(api_server.pod_environment, folder)
        assert account is not None
        clients.append(in_pod(account))
        return clients[-1]

    yield with_token
    for client in clients:
        await client.close()


@pytest.fixture
def kube(connect: Connect) -> Client:
    """The administrator's client."""
    return connect()
