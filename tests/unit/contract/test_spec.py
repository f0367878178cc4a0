"""The resource's models: defaults, cross-field rules, and errors that name the cure."""

from typing import Any

import pytest
from pydantic import ValidationError

from workerpool_contract.spec import WorkerPool

MINIMAL: dict[str, Any] = {"source": {"postgres": {"queue": "q"}}, "worker": {"app": "shop.workers"}}


def pool(name: str = "shop", **changes: Any) -> WorkerPool:
    """A valid manifest with ``changes`` merged into its spec."""
    return WorkerPool.model_validate(
        {
            "apiVersion": "workerpool.dev/v1",
            "kind": "WorkerPool",
            "metadata": {"name": name, "labels": {"team": "a"}},
            "spec": {**MINIMAL, **changes},
        }
    )


def worker(**changes: Any) -> dict[str, Any]:
    """A worker section with ``changes``."""
    return {"app": "shop.workers", **changes}


def test_shortest_manifest_has_working_defaults() -> None:
    """Only the queue and the module are needed."""
    spec = pool().spec
    assert spec.scaling.effective_backlog_per_replica == 10
    assert (spec.scaling.min_replicas, spec.scaling.max_replicas) == (0, 10)
    assert spec.worker.effective_drain_timeout_seconds == 315


def test_wait_target_alone_brings_no_backlog_target() -> None:
    """The default target must not compete with the one that the user chose."""
    assert pool(scaling={"targetWaitSeconds": 30}).spec.scaling.effective_backlog_per_replica is None


def test_models_are_frozen() -> None:
    """A spec is a value."""
    with pytest.raises(ValidationError):
        pool().spec.replicas = 3  # type: ignore[misc]  # what must be refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scaling": {"minReplicas": 5, "maxReplicas": 2}}, "minReplicas 5 is above maxReplicas 2"),
        ({"scaling": {"maxReplicas": 2, "fallback": {"replicas": 3}}}, "fallback.replicas 3 is above maxReplicas 2"),
        ({"scaling": {"maxReplicas": 2, "pause": {"mode": "HoldAt", "replicas": 3}}}, "pause.replicas 3 is above"),
        ({"scaling": {"pause": {"mode": "HoldAt"}}}, "replicas is required with mode HoldAt"),
        ({"scaling": {"pause": {"mode": "Hold", "replicas": 1}}}, "allowed only there"),
        ({"scaling": {"pause": {"mode": "Hold", "until": "2026-01-01T00:00:00"}}}, "with a time zone"),
        ({"scaling": {"maxReplicas": "5"}}, "valid integer"),
        ({"scaling": {"maxReplicas": 2.5}}, "valid integer"),
        ({"scaling": {"maxReplica": 5}}, "not permitted"),
        ({"source": {}}, "exactly one source"),
        ({"source": {"postgres": {"queue": "q"}, "rabbitmq": {"queue": "q"}}}, "exactly one source"),
        ({"source": {"kafka": {"queue": "q"}}}, "not permitted"),
        ({"source": {"rabbitmq": {"queue": "q", "vhost": "v"}}}, "vhost belongs to host; set host"),
        ({"source": {"rabbitmq": {"queue": "q" * 251}}}, "at most 250 characters"),
        ({"source": {"rabbitmq": {"queue": "größe"}}}, "match pattern"),
        ({"source": {"rabbitmq": {"queue": "orders.#"}}}, "has # for a word"),
        ({"worker": {}}, "exactly one of app and builtin"),
        ({"worker": {"app": "a", "builtin": "s3-archive"}}, "exactly one of app and builtin"),
        ({"worker": {"app": "a", "archive": {}}}, "archive is required with builtin s3-archive and allowed only there"),
        ({"worker": {"builtin": "s3-archive"}}, "archive is required with builtin s3-archive and allowed only there"),
        ({"worker": worker(jobTimeoutSeconds=60, drainTimeoutSeconds=30)}, "would cut off jobs"),
        ({"worker": worker(names=["a,b"])}, "match pattern"),
        ({"worker": {"app": "shop workers"}}, "match pattern"),
        ({"retry": {"initialDelaySeconds": 9, "maxDelaySeconds": 3}}, "above maxDelaySeconds 3"),
        ({"replicas": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_specs_are_refused(changes: dict[str, Any], words: str) -> None:
    """Each rule speaks of the field, the value and what to do."""
    with pytest.raises(ValidationError, match=words):
        pool(**changes)


@pytest.mark.parametrize("name", ["Shop", "a" * 53, "-a", "a.b", ""])
def test_bad_names_are_refused(name: str) -> None:
    """Names become parts of Kubernetes names: a DNS label, 52 characters at most."""
    with pytest.raises(ValidationError):
        pool(name=name)
