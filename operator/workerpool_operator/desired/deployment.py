"""The Deployment's spec: the generated pod template, the user's part merged over it, and what must stay ours."""

from copy import deepcopy
from typing import Any, Final

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool
from workerpool_operator.desired.environment import AGREED
from workerpool_operator.desired.labels import selector
from workerpool_operator.desired.merge import Misfit, merge
from workerpool_operator.desired.pod import grace_seconds, pod_template
from workerpool_operator.desired.surroundings import (
    IMAGE_MISSING,
    POD_TEMPLATE_INVALID,
    Surroundings,
    Unbuildable,
)

FIELD: Final = "spec.worker.podTemplate"

STRATEGY: Final = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
"""New runners come first; old ones drain when those are ready."""

REVISIONS: Final = 3
"""Old ReplicaSets kept to look at."""


def deployment(pool: WorkerPool, replicas: int, surroundings: Surroundings) -> dict[str, Any]:
    """The spec of the Deployment. Raises Unbuildable."""
    return {
        "replicas": replicas,
        "revisionHistoryLimit": REVISIONS,
        "selector": {"matchLabels": selector(pool.metadata.name)},
        "strategy": deepcopy(STRATEGY),
        "template": _template(pool, surroundings),
    }


def _template(pool: WorkerPool, surroundings: Surroundings) -> dict[str, Any]:
    generated = pod_template(pool, surroundings)
    try:
        merged = merge(generated, pool.spec.worker.pod_template, FIELD)
    except Misfit as error:
        raise Unbuildable(POD_TEMPLATE_INVALID, str(error)) from None
    runner = _runner(merged)
    if not runner.get("image"):
        raise Unbuildable(
            IMAGE_MISSING,
            "spec.worker.image is not set and the operator has no default image; set spec.worker.image to an image "
            "that holds the runner and your code",
        )
    _keep_ours(merged, runner, generated, pool)
    if surroundings.secret_version is not None:
        metadata = merged["metadata"]
        kept = metadata.get("annotations") or {}
        metadata["annotations"] = {**kept, names.ANNOTATION_SECRET_VERSION: surroundings.secret_version}
    return merged


def _runner(template: dict[str, Any]) -> dict[str, Any]:
    containers = (template.get("spec") or {}).get("containers") or ()
    found = [container for container in containers if container["name"] == names.CONTAINER]
    if not found:
        raise Unbuildable(
            POD_TEMPLATE_INVALID,
            f"{FIELD}.spec.containers is null, so that no {names.CONTAINER} is left; remove the null",
        )
    runner: dict[str, Any] = found[0]
    return runner


def _keep_ours(merged: dict[str, Any], runner: dict[str, Any], generated: dict[str, Any], pool: WorkerPool) -> None:
    """Puts back what Kubernetes would refuse, or what operator and runner would disagree about."""
    metadata = merged.get("metadata") or {}
    ours = {
        **selector(pool.metadata.name),
        names.LABEL_MANAGED_BY: names.MANAGER,
    }
    merged["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **ours}}
    spec = merged["spec"]
    spec["terminationGracePeriodSeconds"] = max(grace_seconds(pool), spec.get("terminationGracePeriodSeconds") or 0)
    agreed = {it["name"]: it for it in generated["spec"]["containers"][0]["env"] if it["name"] in AGREED}
    placed = [agreed.pop(it["name"], it) for it in runner.get("env") or ()]
    runner["env"] = [*placed, *agreed.values()]
