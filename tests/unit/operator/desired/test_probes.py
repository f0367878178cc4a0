"""Probes: derived, each field overridable, and on the port that the runner is told."""

from typing import Any

import pytest

from workerpool_contract import names
from workerpool_contract.spec import Probes, ProbeTiming
from workerpool_operator.desired.probes import probes

KINDS = ("startup", "liveness", "readiness")


@pytest.mark.parametrize(
    ("kind", "path", "timing"),
    [("startup", "/live", (1, 5, 300)), ("liveness", "/live", (10, 5, 3)), ("readiness", "/ready", (5, 5, 2))],
)
def test_derived(kind: str, path: str, timing: tuple[int, int, int]) -> None:
    probe = probes(Probes())[f"{kind}Probe"]
    assert probe["httpGet"] == {"path": path, "port": names.PROBE_PORT}
    assert (probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]) == timing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["period_seconds", "timeout_seconds", "failure_threshold"])
def test_one_override_changes_one_field(kind: str, field: str) -> None:
    before: Any = probes(Probes())
    after: Any = probes(Probes.model_validate({kind: ProbeTiming.model_validate({field: 77})}))
    key = {"period_seconds": "periodSeconds", "timeout_seconds": "timeoutSeconds"}.get(field, "failureThreshold")
    before[f"{kind}Probe"][key] = 77
    assert after == before


def test_the_port_is_one() -> None:
    made = probes(Probes(port=8080))
    assert made["ports"] == [{"name": "probes", "containerPort": 8080, "protocol": "TCP"}]
    assert {made[f"{kind}Probe"]["httpGet"]["port"] for kind in KINDS} == {8080}


def test_a_slow_start_gets_minutes_and_a_dead_runner_does_not() -> None:
    made = probes(Probes())
    patience = {
        kind: made[f"{kind}Probe"]["periodSeconds"] * made[f"{kind}Probe"]["failureThreshold"] for kind in KINDS
    }
    assert patience["startup"] >= 300
    assert patience["liveness"] <= 60
