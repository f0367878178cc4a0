"""Which lists of a Deployment are maps in truth: Kubernetes finds their items by these fields, and so do we."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "env": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Name of the list -> fields that identify an item. Every other list is one value."""

DEFAULTS: Final[Mapping[str, Any]] = {"protocol": "TCP"}
"""What the API server fills in for an identifying field that is not given."""

Identity = tuple[Any, ...]


def identity(item: Mapping[str, Any], fields: Sequence[str]) -> Identity:
    """What tells ``item`` from the others of its list; None stands for a field that it lacks."""
    return tuple(item.get(name, DEFAULTS.get(name)) for name in fields)
