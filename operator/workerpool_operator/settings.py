"""Settings of the operator process: WORKERPOOL_OPERATOR_ variables -> one frozen value, or an error with the cure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from workerpool_contract.variables import SettingsError, Variable, choice, integer, plain, words

PREFIX = "WORKERPOOL_OPERATOR_"
# What Kubernetes accepts as the name of a namespace.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

__all__ = ["PREFIX", "VARIABLES", "OperatorSettings", "SettingsError", "from_environment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """What the operator is told from outside.

    ``namespaces``: where it looks for pools; empty means everywhere. ``runner_image``: for pools that name none.
    ``workers``: pools that are reconciled at the same time. With ``leader_election`` only the holder of the Lease
    ``lease_name`` in ``lease_namespace`` acts; ``identity`` is this process's name there, unset its host's name.
    """

    namespaces: tuple[str, ...] = ()
    runner_image: str | None = None
    host: str = ""  # every address: probes and scrapes come to the pod's own, of either family
    port: int = 8080
    log_level: str = "info"
    log_format: str = "json"
    workers: int = 8
    leader_election: bool = False
    lease_name: str = "workerpool-operator"
    lease_namespace: str | None = None
    identity: str | None = None


def _flag(text: str, scale: float) -> bool:
    return choice("true", "false")(text, scale) == "true"


def _namespaces(text: str, scale: float) -> tuple[str, ...]:
    names = words(text, scale)
    if not all(_LABEL.fullmatch(name) for name in names):
        expected = "a comma-separated list of namespaces, each by its full name"
        raise ValueError(expected)
    return names


VARIABLES: tuple[Variable, ...] = (
    Variable(f"{PREFIX}NAMESPACES", "namespaces", _namespaces),
    Variable(f"{PREFIX}RUNNER_IMAGE", "runner_image", plain),
    Variable(f"{PREFIX}HOST", "host", plain),
    Variable(f"{PREFIX}PORT", "port", integer(0, 65_535)),
    Variable(f"{PREFIX}LOG_LEVEL", "log_level", choice("debug", "info", "warning", "error")),
    Variable(f"{PREFIX}LOG_FORMAT", "log_format", choice("text", "json")),
    Variable(f"{PREFIX}WORKERS", "workers", integer(1, 256)),
    Variable(f"{PREFIX}LEADER_ELECTION", "leader_election", _flag),
    Variable(f"{PREFIX}LEASE_NAME", "lease_name", plain),
    Variable(f"{PREFIX}LEASE_NAMESPACE", "lease_namespace", plain),
    Variable(f"{PREFIX}IDENTITY", "identity", plain),
)


def from_environment(environ: Mapping[str, str]) -> OperatorSettings:
    """The settings that ``environ`` describes; raises SettingsError for the first variable that can't be used."""
    found = {variable.field: variable.read(environ) for variable in VARIABLES}
    return OperatorSettings(**{name: value for name, value in found.items() if value is not None})
