"""The probes of a runner's container, derived from its spec; each field can be overridden in spec.probes."""

from typing import Any, Final

from workerpool_contract import names
from workerpool_contract.spec import Probes, ProbeTiming

PORT_NAME: Final = "probes"

STARTUP: Final = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 300}
"""Asked often, so that a pool wakes quickly, and for five minutes, because importing models may take that long."""
LIVENESS: Final = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3}
READINESS: Final = {"periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2}


def probes(spec: Probes) -> dict[str, Any]:
    """The three probes, and the port that they ask: fields of a container.

    Startup and liveness ask whether a restart would help, which a lost database never answers with yes; readiness asks
    whether it consumes.
    """
    return {
        "ports": [{"name": PORT_NAME, "containerPort": spec.port, "protocol": "TCP"}],
        "startupProbe": _probe(names.PATH_LIVE, spec.port, STARTUP, spec.startup),
        "livenessProbe": _probe(names.PATH_LIVE, spec.port, LIVENESS, spec.liveness),
        "readinessProbe": _probe(names.PATH_READY, spec.port, READINESS, spec.readiness),
    }


def _probe(path: str, port: int, derived: dict[str, int], wanted: ProbeTiming) -> dict[str, Any]:
    chosen = {
        "periodSeconds": wanted.period_seconds,
        "timeoutSeconds": wanted.timeout_seconds,
        "failureThreshold": wanted.failure_threshold,
    }
    overrides = {name: value for name, value in chosen.items() if value is not None}
    return {"httpGet": {"path": path, "port": port}, **derived, **overrides}
