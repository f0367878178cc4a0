"""The operator's rights: no wildcard, no listing of Secrets, no more than one place says."""

from typing import Any

import pytest

from tests.chart.helm import CHART, NAMESPACE, Helm, Objects

pytestmark = pytest.mark.kubernetes

Rule = dict[str, Any]

RIGHTS = {
    ("workerpool.dev", "workerpools"): {"list", "watch"},
    ("workerpool.dev", "workerpools/status"): {"patch"},
    ("apps", "deployments"): {"get", "list", "watch", "create", "patch"},
    ("policy", "poddisruptionbudgets"): {"get", "list", "watch", "create", "patch"},
    ("", "pods"): {"list", "watch", "patch"},
    ("", "secrets"): {"get"},
    ("events.k8s.io", "events"): {"create"},
}


def roles(objects: Objects, kind: str, suffix: str = "-operator") -> Objects:
    return [item for item in objects if item["kind"] == kind and item["metadata"]["name"].endswith(suffix)]


def rights(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Verbs by API group and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def all_rules(objects: Objects) -> list[Rule]:
    return [rule for item in objects if item["kind"] in {"Role", "ClusterRole"} for rule in item["rules"]]


def test_no_rule_has_a_wildcard(objects: Objects) -> None:
    for rule in all_rules(objects):
        words = [word for words in rule.values() for word in words]
        assert not any("*" in word for word in words), rule


def test_secrets_are_read_one_by_one(objects: Objects) -> None:
    about_secrets = [rule for rule in all_rules(objects) if "secrets" in rule["resources"]]
    assert about_secrets
    assert all(rule["verbs"] == ["get"] and rule["resources"] == ["secrets"] for rule in about_secrets)


def test_every_binding_leads_from_a_role_here_to_the_account_of_the_pods(objects: Objects) -> None:
    account = next(item for item in objects if item["kind"] == "ServiceAccount")["metadata"]
    pod = next(item for item in objects if item["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["name"]
    there = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects}
    bindings = [item for item in objects if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    assert bindings
    for binding in bindings:
        reference = binding["roleRef"]
        assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in there
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["name"], "namespace": NAMESPACE}]


def test_whole_cluster_is_one_cluster_role(helm: Helm) -> None:
    objects = helm.render()
    (role,) = roles(objects, "ClusterRole")
    assert rights(role) == RIGHTS
    assert not any(item["kind"] in {"Role", "RoleBinding"} for item in objects)


def test_namespaces_get_a_role_each_and_the_cluster_none(helm: Helm) -> None:
    objects = helm.render(f"--values={CHART}/ci/namespaced-values.yaml")
    found = roles(objects, "Role")
    assert [role["metadata"]["namespace"] for role in found] == ["team-a", "team-b"]
    assert all(rights(role) == RIGHTS for role in found)
    assert not any(item["kind"].startswith("Cluster") for item in objects)


def test_secrets_by_name(helm: Helm) -> None:
    (role,) = roles(helm.render(f"--values={CHART}/ci/secret-names-values.yaml"), "ClusterRole")
    (rule,) = [rule for rule in role["rules"] if rule["resources"] == ["secrets"]]
    assert rule["resourceNames"] == ["orders-database", "mails-database"]


def test_election_gives_one_lease_in_the_operators_own_namespace(helm: Helm) -> None:
    objects = helm.render(f"--values={CHART}/ci/leader-election-values.yaml")
    (role,) = roles(objects, "Role", "-leader")
    assert role["metadata"]["namespace"] == NAMESPACE
    assert rights(role) == {("coordination.k8s.io", "leases"): {"create", "get", "update"}}
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["workerpool-operator"]]


def test_users_of_the_cluster_get_pools_with_their_roles(helm: Helm) -> None:
    objects = helm.render()
    (view,), (edit,) = roles(objects, "ClusterRole", "-view"), roles(objects, "ClusterRole", "-edit")
    reading, writing = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}
    assert rights(view)["workerpool.dev", "workerpools"] == reading
    assert rights(edit)["workerpool.dev", "workerpools"] == writing
    assert all(verbs <= reading for verbs in rights(view).values())
    assert "rbac.authorization.k8s.io/aggregate-to-view" in view["metadata"]["labels"]
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in edit["metadata"]["labels"]


def test_rights_can_be_left_to_somebody_else(helm: Helm) -> None:
    objects = helm.render("--set=rbac.create=false,rbac.aggregateRoles=false,serviceAccount.create=false")
    kinds = {item["kind"] for item in objects}
    assert kinds == {"CustomResourceDefinition", "Service", "Deployment", "Pod"}
