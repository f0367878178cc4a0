"""The environment of a runner's container: what the contract makes of the spec, and references into Secrets."""

from dataclasses import replace
from typing import Any, Final

from workerpool_contract import names
from workerpool_contract.archive import archive_settings_of, archive_to_environment
from workerpool_contract.environment import VARIABLES, settings_of, to_environment
from workerpool_contract.secretrefs import Role
from workerpool_contract.source import Source
from workerpool_contract.spec import WorkerPool
from workerpool_contract.variables import write
from workerpool_operator.desired.files import CA_FILE
from workerpool_operator.desired.surroundings import SECRET_REF_MISSING, Surroundings, Unbuildable

ALWAYS: Final = frozenset({names.ENV_DRAIN_TIMEOUT, names.ENV_JOB_TIMEOUT, names.ENV_PROBE_PORT, names.ENV_PROCESSES})
"""Written also at their defaults: the pod is built around them, and an older name in the image must not win."""

AGREED: Final = frozenset({names.ENV_PROBE_PORT, names.ENV_WORKER_ID})
"""What a pod template can't change: the kubelet probes that port, and reports of runners are found by that name."""


def environment(pool: WorkerPool, surroundings: Surroundings) -> list[dict[str, Any]]:
    """EnvVars sorted by name. What is in Secrets stays there. Raises Unbuildable."""
    _check(pool.spec.source)
    uses = pool.spec.secret_uses
    settings = replace(
        settings_of(pool.metadata.name, pool.spec, "", surroundings.base),
        url=None,
        rabbitmq_ca_file=CA_FILE if any(use.role is Role.CA for use in uses) else None,
    )
    values = to_environment(settings)
    values |= {it.name: write(getattr(settings, it.field)) for it in VARIABLES if it.name in ALWAYS}
    if pool.spec.worker.archive is not None:
        values |= archive_to_environment(archive_settings_of(pool.spec.worker.archive))
    entries: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in values.items()}
    for use in uses:
        if use.variable is not None:
            entries[use.variable] = {"valueFrom": {"secretKeyRef": {"name": use.name, "key": use.key}}}
    entries[names.ENV_WORKER_ID] = {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [{"name": name, **entries[name]} for name in sorted(entries)]


def _check(source: Source) -> None:
    if source.rabbitmq is not None and source.rabbitmq.host is not None:
        return
    if source.member.url_secret_ref is None:
        other = "" if source.rabbitmq is None else f", or set {source.field}.host"
        raise Unbuildable(
            SECRET_REF_MISSING,
            f"{source.field}.urlSecretRef is not set; name the Secret and the key that hold the queue's URL{other}",
        )
