"""The API server goes away and comes back."""

import pytest

from tests.api.operator.conftest import Shop

pytestmark = pytest.mark.kubernetes


def test_an_outage_of_the_api_server_is_survived(shop: Shop) -> None:
    shop.secret()
    shop.pool()
    shop.until(lambda: shop.size() == 0, "a Deployment")
    shop.server.end("kube-apiserver")
    try:
        shop.enqueue(3)
        shop.until(lambda: "Could not reconcile" in shop.operator.log(), "an attempt that failed")
    finally:
        shop.server.start()
    shop.until(shop.operator.ready, "the operator is ready")
    shop.until(lambda: shop.size() == 3, "three replicas")
    shop.kubectl("delete", "deployment", "orders")
    shop.until(lambda: shop.size() is not None, "the Deployment again: the watches work")
