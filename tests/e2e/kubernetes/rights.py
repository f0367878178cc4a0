"""What a release may do, and what it did: rights from the manifest that Helm installed, deeds from the audit log."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml

from tests.chart.helm import NAMESPACE, RELEASE
from tests.e2e.kubernetes.release import NAME, Operator

Body = dict[str, Any]


class Right(NamedTuple):
    """One verb on one resource; ``resource`` is "pods" or "pods/status". ``group`` is empty for the core group."""

    group: str
    resource: str
    verb: str


def granted(operator: Operator) -> set[Right]:
    """Everything that the roles of the release give to the operator's ServiceAccount."""
    text = operator.helm("get", "manifest", RELEASE, f"--namespace={NAMESPACE}")
    objects = [item for item in yaml.safe_load_all(text) if item]
    bound = {item["roleRef"]["name"] for item in objects if item["kind"].endswith("RoleBinding") and _is_ours(item)}
    roles = [item for item in objects if item["kind"] in {"Role", "ClusterRole"} and item["metadata"]["name"] in bound]
    return {
        Right(group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(requests: Iterable[Body]) -> set[Right]:
    """What audited requests made use of. An apply that creates its object needs the right to create it, too."""
    found = {right(request) for request in requests if "objectRef" in request}
    made = [it for it in requests if it["verb"] == "patch" and it["responseStatus"].get("code") == 201]
    return found | {right(request)._replace(verb="create") for request in made}


def right(request: Body) -> Right:
    """What one request asked for."""
    about = request["objectRef"]
    resource = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
    return Right(about.get("apiGroup", ""), resource, request["verb"])


def denied(requests: Iterable[Body]) -> list[str]:
    """What the API server refused because nobody gave the right to it: verb and path."""
    return [
        f"{request['verb']} {request['requestURI']}"
        for request in requests
        if request.get("annotations", {}).get("authorization.k8s.io/decision") != "allow"
    ]


def writes(requests: Iterable[Body]) -> list[str]:
    """The requests that were to change something: verb and path."""
    reading = {"get", "list", "watch"}
    return [f"{request['verb']} {request['requestURI']}" for request in requests if request["verb"] not in reading]


def _is_ours(binding: Body) -> bool:
    return [subject["name"] for subject in binding["subjects"]] == [NAME]
