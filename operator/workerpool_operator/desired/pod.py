"""The pod template that the operator generates, before the user's part is merged over it."""

from typing import Any, Final

from workerpool_contract import names
from workerpool_contract.spec import WorkerPool
from workerpool_operator.desired.environment import environment
from workerpool_operator.desired.files import mounts, volumes
from workerpool_operator.desired.labels import labels, selector
from workerpool_operator.desired.probes import probes
from workerpool_operator.desired.surroundings import Surroundings

GRACE_MARGIN_SECONDS: Final = 15
"""Time for a drained runner to report and end before the kubelet kills it."""

USER: Final = 65532
"""Numeric, because the kubelet can't tell by a name whether it is root."""

CPU_MILLIS: Final = 100
MEMORY_MEBIBYTES: Final = 128
"""Asked of the node per runner process, unless the pod template says what the handlers need."""

AFTER_THE_FIRST_PROCESS: Final = ("dumb-init", "--version")
"""A command that every runner image has, and that changes nothing.

A signal that a container's first process has not asked for yet is lost. Of a pod that is deleted while it starts the
runner would not hear, take jobs, and be killed in the middle of them when the grace period is over. A command in the
container has its turn after the first process, and SIGTERM is sent when it has ended.
"""


def grace_seconds(pool: WorkerPool) -> int:
    """Seconds between the order to end and the kill."""
    return pool.spec.worker.effective_drain_timeout_seconds + GRACE_MARGIN_SECONDS


def pod_template(pool: WorkerPool, surroundings: Surroundings) -> dict[str, Any]:
    """A PodTemplateSpec for the restricted Pod Security Standard. Raises Unbuildable."""
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "containers": [_container(pool, surroundings)],
        # Variables of services would be named after them: a Service called workerpool would set WORKERPOOL_PORT.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsGroup": USER,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": grace_seconds(pool),
        "topologySpreadConstraints": [
            {
                "labelSelector": {"matchLabels": selector(pool.metadata.name)},
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes(pool)],
    }
    return {"metadata": {"labels": labels(pool.metadata.name)}, "spec": spec}


def _container(pool: WorkerPool, surroundings: Surroundings) -> dict[str, Any]:
    processes = pool.spec.worker.processes
    container: dict[str, Any] = {
        "name": names.CONTAINER,
        "env": environment(pool, surroundings),
        "lifecycle": {"preStop": {"exec": {"command": list(AFTER_THE_FIRST_PROCESS)}}},
        "resources": {"requests": {"cpu": f"{CPU_MILLIS * processes}m", "memory": f"{MEMORY_MEBIBYTES * processes}Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *mounts(pool)],  # noqa: S108 - a volume of the pod alone
        **probes(pool.spec.probes),
    }
    image = pool.spec.worker.image or surroundings.default_image
    if image is not None:
        container["image"] = image
    return container
