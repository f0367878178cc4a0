"""The objects that a pool owns: one Deployment and one PodDisruptionBudget, as documents for server-side apply."""

from dataclasses import dataclass
from typing import Any

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool
from workerpool_operator.desired.deployment import deployment
from workerpool_operator.desired.disruption import budget
from workerpool_operator.desired.labels import labels
from workerpool_operator.desired.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Children:
    """Complete documents: every field that the operator owns, and no other. Nobody may change them."""

    deployment: dict[str, Any]
    disruption_budget: dict[str, Any]


def children(pool: WorkerPool, replicas: int, surroundings: Surroundings) -> Children:
    """What Kubernetes should hold for ``pool`` at this size; equal arguments give equal documents.

    Raises Unbuildable when the spec lacks something that only Kubernetes needs, or its pod template doesn't fit.
    """
    return Children(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**_metadata(pool, surroundings), **_seen(surroundings)},
            "spec": deployment(pool, replicas, surroundings),
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _metadata(pool, surroundings),
            "spec": budget(pool.metadata.name),
        },
    )


def _seen(surroundings: Surroundings) -> dict[str, Any]:
    """What the next life of the operator compares the Secret with. Not on the pods: a new one must roll nobody."""
    if surroundings.secret_seen is None:
        return {}
    return {"annotations": {names.ANNOTATION_SECRET_SEEN: surroundings.secret_seen}}


def _metadata(pool: WorkerPool, surroundings: Surroundings) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": pool.metadata.name,
        "labels": labels(pool.metadata.name),
        # Deleted with the pool. Not blocking: that would need rights on the pool's finalizers.
        "ownerReferences": [
            {
                "apiVersion": names.API_GROUP_VERSION,
                "blockOwnerDeletion": False,
                "controller": True,
                "kind": names.KIND,
                "name": pool.metadata.name,
                "uid": surroundings.uid,
            }
        ],
    }
    if pool.metadata.namespace is not None:
        metadata["namespace"] = pool.metadata.namespace
    return metadata
