"""Secrets that a runner gets as files, because its libraries read them from there."""

from typing import Any, Final

from workerpool_contract.secretrefs import Role
from workerpool_contract.spec import WorkerPool

CA_VOLUME: Final = "rabbitmq-ca"
CA_FOLDER: Final = "/etc/workerpool/rabbitmq"
CA_FILE: Final = f"{CA_FOLDER}/ca.crt"


def volumes(pool: WorkerPool) -> list[dict[str, Any]]:
    """The volumes with those files, for the pod."""
    return [
        {"name": CA_VOLUME, "secret": {"secretName": use.name, "items": [{"key": use.key, "path": "ca.crt"}]}}
        for use in pool.spec.secret_uses
        if use.role is Role.CA
    ]


def mounts(pool: WorkerPool) -> list[dict[str, Any]]:
    """Where they appear in the runner's container."""
    return [{"name": it["name"], "mountPath": CA_FOLDER, "readOnly": True} for it in volumes(pool)]
