"""The environment of a runner's container: what `contract/environment.py` makes of the spec, and two references."""

from dataclasses import replace
from typing import Any, Final

from workerpool_contract import names
from workerpool_contract.environment import VARIABLES, settings_of, to_environment
from workerpool_contract.secretrefs import SecretKeyRef
from workerpool_contract.source import PostgresSource
from workerpool_contract.spec import WorkerPool
from workerpool_contract.variables import write
from workerpool_operator.desired.surroundings import SECRET_REF_MISSING, Surroundings, Unbuildable

ALWAYS: Final = frozenset({names.ENV_DRAIN_TIMEOUT, names.ENV_JOB_TIMEOUT, names.ENV_PROBE_PORT, names.ENV_PROCESSES})
"""Written also at their defaults: the pod is built around them, and an older name in the image must not win."""

AGREED: Final = frozenset({names.ENV_PROBE_PORT, names.ENV_WORKER_ID})
"""What a pod template can't change: the kubelet probes that port, and reports of runners are found by that name."""


def environment(pool: WorkerPool, surroundings: Surroundings) -> list[dict[str, Any]]:
    """EnvVars sorted by name. The queue's URL stays in its Secret. Raises Unbuildable."""
    secret = _secret(pool.spec.source.postgres)
    settings = replace(settings_of(pool.metadata.name, pool.spec, "", surroundings.base), url=None)
    values = to_environment(settings)
    values |= {it.name: write(getattr(settings, it.field)) for it in VARIABLES if it.name in ALWAYS}
    entries: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    entries.append(
        {"name": names.ENV_URL, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}},
    )
    entries.append(
        {"name": names.ENV_WORKER_ID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    )
    return sorted(entries, key=lambda entry: str(entry["name"]))


def _secret(source: PostgresSource | None) -> SecretKeyRef:
    if source is None or source.url_secret_ref is None:
        raise Unbuildable(
            SECRET_REF_MISSING,
            "spec.source.postgres.urlSecretRef is not set; name the Secret and the key that hold the queue's URL",
        )
    return source.url_secret_ref
