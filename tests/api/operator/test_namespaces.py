"""An operator for some namespaces only."""

from pathlib import Path

import pytest

from tests.api.operator.conftest import Shop, operator_process
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.kubernetes

ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


def test_a_namespace_without_rights_keeps_no_other_waiting(
    api_server: ApiServer, namespace: str, database: str, tmp_path: Path
) -> None:
    """It was deleted, and the operator's Role went with it."""
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
    objects: list[dict[str, object]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "all"}, "rules": [ALL]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "all"},
            "subjects": [subject],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "all"},
        },
    ]
    api_server.apply(objects, namespace)
    token = api_server.token(namespace, "operator")
    environment = {
        "KUBECONFIG": str(api_server.kubeconfig_for(token, tmp_path)),
        "WORKERPOOL_OPERATOR_NAMESPACES": f"{namespace}-gone,{namespace}",
    }
    with operator_process(api_server, namespace, tmp_path / "operator.log", environment) as operator:
        operator.start()
        shop = Shop(api_server, namespace, operator, database)
        shop.secret()
        shop.pool()
        shop.until(lambda: shop.size() == 0, "a Deployment")
        assert f"Namespace {namespace}-gone is left out" in operator.log()
