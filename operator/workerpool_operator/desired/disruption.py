"""The PodDisruptionBudget of a pool: a node that is drained takes a quarter of the replicas at a time."""

from typing import Any, Final

from workerpool_operator.desired.labels import selector

MAX_UNAVAILABLE: Final = "25%"
"""Rounded up by Kubernetes, so that also a pool of one replica never blocks the drain of a node."""


def budget(pool: str) -> dict[str, Any]:
    """The spec of the budget."""
    return {
        "maxUnavailable": MAX_UNAVAILABLE,
        "selector": {"matchLabels": selector(pool)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
