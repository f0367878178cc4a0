"""Two operators with leader election: one acts, the other takes over when it goes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.operator.conftest import OperatorProcess, Shop, operator_process
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def pair(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[list[OperatorProcess]]:
    """Two of them, the first one leading."""
    environment = {
        "WORKERPOOL_OPERATOR_LEADER_ELECTION": "true",
        "WORKERPOOL_OPERATOR_LEASE_NAMESPACE": namespace,
    }
    with (
        operator_process(api_server, namespace, tmp_path / "first.log", environment) as first,
        operator_process(api_server, namespace, tmp_path / "second.log", environment) as second,
    ):
        first.start()
        yield [first, second]


def leads(operator: OperatorProcess) -> bool:
    """Whether it says so."""
    return "workerpool_leader 1.0" in (operator.page("metrics") or "")


def test_the_other_takes_over(
    api_server: ApiServer, namespace: str, database: str, pair: list[OperatorProcess]
) -> None:
    first, second = pair
    shop = Shop(api_server, namespace, first, database)
    shop.until(lambda: leads(first), "a leader")
    second.start()
    shop.secret()
    shop.pool()
    shop.until(lambda: shop.size() == 0, "a Deployment")
    assert not leads(second)
    assert "workerpool_pool_desired_replicas{" not in (second.page("metrics") or "")
    first.end(signal.SIGTERM)
    shop.until(lambda: leads(second), "another leader at once: the first gave the Lease back", seconds=10)
    shop.enqueue(2)
    shop.until(lambda: shop.size() == 2, "two replicas")
