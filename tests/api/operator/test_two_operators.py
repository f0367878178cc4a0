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

    def environment(identity: str) -> dict[str, str]:
        return {
            "WORKERPOOL_OPERATOR_LEADER_ELECTION": "true",
            "WORKERPOOL_OPERATOR_LEASE_NAMESPACE": namespace,
            "WORKERPOOL_OPERATOR_IDENTITY": identity,
        }

    with (
        operator_process(api_server, namespace, tmp_path / "first.log", environment("first")) as first,
        operator_process(api_server, namespace, tmp_path / "second.log", environment("second")) as second,
    ):
        first.start()
        yield [first, second]


def leads(operator: OperatorProcess) -> bool:
    """Whether it says so."""
    return "workerpool_leader 1.0" in (operator.page("metrics") or "")


def holder(shop: Shop) -> str:
    """Whose name the Lease says."""
    (lease,) = shop.server.json("get", "leases", f"--namespace={shop.namespace}")["items"]
    return str(lease["spec"].get("holderIdentity") or "")


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
    assert holder(shop).startswith("first")
    first.end(signal.SIGTERM)
    # Given back: a Lease that has to run out still has the first one's name when that has just ended.
    assert not holder(shop).startswith("first")
    shop.until(lambda: leads(second), "another leader")
    shop.enqueue(2)
    shop.until(lambda: shop.size() == 2, "two replicas")
