"""A wrong value is refused, and the message names it."""

import json

import pytest
import yaml

from tests.chart.helm import CHART, Helm, HelmFailed

pytestmark = pytest.mark.kubernetes

WRONG = {
    "replica=2": "'replica'",
    "image.tagg=1": "'tagg'",
    "metrics.serviceMonitor.enable=true": "'enable'",
    "rbac.secretName=a": "'secretName'",
    "replicas=two": "replicas",
    "replicas=3": "replicas",
    "watchNamespaces=team-a": "watchNamespaces",
    "watchNamespaces={Team_A}": "watchNamespaces/0",
    "log.level=loud": "log/level",
    "log.format=xml": "log/format",
    "image.pullPolicy=Sometimes": "image/pullPolicy",
    "image.digest=sha256:12": "image/digest",
    "image.repository=": "image/repository",
    "crds.install=yes": "crds/install",
    "crds=true": "crds",
    "leaderElection.enabled=1": "leaderElection/enabled",
    "rbac.secretNames=orders": "rbac/secretNames",
    "rbac.secretNames={*}": "rbac/secretNames/0",
    "serviceAccount.name=My_Account": "serviceAccount/name",
    "metrics.serviceMonitor.interval=often": "metrics/serviceMonitor/interval",
    "terminationGracePeriodSeconds=0": "terminationGracePeriodSeconds",
    "podAnnotations.note=1": "podAnnotations/note",
    "resources.request.cpu=1": "'request'",
    "tolerations=all": "tolerations",
    "extraEnv[0].nam=A": "extraEnv/0",
    "imagePullSecrets={images}": "imagePullSecrets/0",
    "fullnameOverride=Acme Pools": "fullnameOverride",
}


@pytest.mark.parametrize("setting", WRONG)
def test_wrong_value_is_refused_by_name(helm: Helm, setting: str) -> None:
    with pytest.raises(HelmFailed) as refused:
        helm.render(f"--set={setting}")
    assert WRONG[setting] in str(refused.value).partition("workerpool:\n")[2]


def test_schema_knows_exactly_the_values_that_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    # Helm itself adds `global` to the values of every chart.
    assert schema["properties"].keys() - {"global"} == values.keys()
    for name, part in schema["properties"].items():
        if "properties" in part and name != "resources":
            assert part["properties"].keys() == values[name].keys(), name
            assert part["additionalProperties"] is False, name
