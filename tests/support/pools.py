"""Pools for tests that need one as the API server would hand it out."""

from typing import Any

import yaml

from workerpool_contract.spec import WorkerPool

UID = "6a1f0b52-6d2c-4a53-8d5c-0d4b6b7e3c11"


def pool(spec: str = "", *, name: str = "orders", namespace: str = "shop") -> WorkerPool:
    """A pool with these parts of its spec, in YAML, over a minimal one. Groups are replaced, not merged."""
    document: dict[str, Any] = {
        "source": {"postgres": {"queue": "orders", "urlSecretRef": {"name": "database"}}},
        "worker": {"app": "shop.workers", "image": "registry.example/shop:1"},
        **(yaml.safe_load(spec) or {}),
    }
    return WorkerPool.model_validate(
        {
            "apiVersion": "workerpool.dev/v1",
            "kind": "WorkerPool",
            "metadata": {"name": name, "namespace": namespace},
            "spec": document,
        }
    )
