"""Every set of values renders to objects that fit together and keep the restricted pod security standard."""

from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import CHART, KUBERNETES, NAMESPACE, RELEASE, Helm, HelmFailed, Objects

pytestmark = pytest.mark.kubernetes

CLUSTER_SCOPED = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
SELECTOR = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")


def only(objects: Objects, kind: str) -> dict[str, Any]:
    (found,) = [document for document in objects if document["kind"] == kind]
    return found


def pods(objects: Objects) -> list[dict[str, Any]]:
    """The specs of all pods: the operator's and the test's."""
    return [only(objects, "Deployment")["spec"]["template"]["spec"], only(objects, "Pod")["spec"]]


def environment(objects: Objects) -> dict[str, Any]:
    (container,) = pods(objects)[0]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def test_linter_has_nothing_to_say(helm: Helm, values: Path) -> None:
    helm("lint", "--strict", "--quiet", str(CHART), f"--values={values}", f"--kube-version={KUBERNETES}")


def test_every_object_has_a_place_a_name_and_the_labels(objects: Objects) -> None:
    for document in objects:
        metadata = document["metadata"]
        assert len(metadata["name"]) <= 63
        assert {*SELECTOR, "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} <= metadata["labels"].keys()
        assert ("namespace" in metadata) == (document["kind"] not in CLUSTER_SCOPED), document["kind"]


def test_no_two_objects_have_the_same_name(objects: Objects) -> None:
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert len(keys) == len(set(keys))


def test_selectors_choose_the_operator_and_not_the_test(objects: Objects) -> None:
    deployment, test = only(objects, "Deployment"), only(objects, "Pod")
    wanted = deployment["spec"]["selector"]["matchLabels"]
    assert wanted.keys() == set(SELECTOR)
    assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert not wanted.items() <= test["metadata"]["labels"].items()
    service = only(objects, "Service")
    assert service["spec"]["selector"] == wanted
    for kind in ("PodDisruptionBudget", "ServiceMonitor"):
        for found in (document for document in objects if document["kind"] == kind):
            assert found["spec"]["selector"]["matchLabels"] == wanted
            assert wanted.items() <= service["metadata"]["labels"].items()
    for policy in (document for document in objects if document["kind"] == "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"] == wanted


def test_pods_keep_the_restricted_standard(objects: Objects) -> None:
    for pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(volume.keys() == {"name", "emptyDir"} for volume in pod.get("volumes", []))
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_probes_ask_the_port_that_the_service_offers(objects: Objects) -> None:
    (container,) = pods(objects)[0]["containers"]
    (port,) = container["ports"]
    assert port == {"name": "http", "containerPort": 8080}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert only(objects, "Service")["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
    assert environment(objects)["WORKERPOOL_OPERATOR_PORT"] == "8080"


def test_variables_named_like_the_service_stay_out_of_the_operator(objects: Objects) -> None:
    operator, test = pods(objects)
    assert operator["enableServiceLinks"] is False
    (container,) = test["containers"]
    service = only(objects, "Service")["metadata"]["name"]
    assert {"name": "OPERATOR_SERVICE", "value": service.upper().replace("-", "_")} in container["env"]


def test_test_is_python_that_compiles(objects: Objects) -> None:
    (container,) = pods(objects)[1]["containers"]
    assert container["command"] == ["python", "-c"]
    (program,) = container["args"]
    compile(program, "test.py", "exec")
    assert container["image"] == pods(objects)[0]["containers"][0]["image"]


def test_defaults_name_the_images_of_this_version(helm: Helm) -> None:
    objects = helm.render()
    version = only(objects, "Deployment")["metadata"]["labels"]["app.kubernetes.io/version"]
    assert pods(objects)[0]["containers"][0]["image"] == f"workerpool/operator:{version}"
    assert environment(objects)["WORKERPOOL_OPERATOR_RUNNER_IMAGE"] == f"workerpool/runner:{version}"
    assert environment(objects)["WORKERPOOL_OPERATOR_NAMESPACES"] == ""
    assert only(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert "WORKERPOOL_OPERATOR_LEASE_NAME" not in environment(objects)


def test_standby_takes_part_in_an_election_and_rolls(helm: Helm) -> None:
    objects = helm.render(f"--values={CHART}/ci/leader-election-values.yaml")
    spec = only(objects, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    assert environment(objects)["WORKERPOOL_OPERATOR_LEADER_ELECTION"] == "true"
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == spec["selector"]


def test_two_operators_without_an_election_are_refused(helm: Helm) -> None:
    with pytest.raises(HelmFailed, match=r"replicas is 2.*set leaderElection\.enabled=true or replicas=1"):
        helm.render("--set=replicas=2")


def test_everything_reaches_the_objects(helm: Helm) -> None:
    objects = helm.render(f"--values={CHART}/ci/everything-values.yaml")
    pod = pods(objects)[0]
    assert pod["containers"][0]["image"].endswith("operator@sha256:" + "0123456789abcdef" * 4)
    assert environment(objects)["WORKERPOOL_OPERATOR_NAMESPACES"] == "team-a,team-b"
    assert environment(objects)["EXAMPLE"] == "1"
    scheduling = {"priorityClassName", "nodeSelector", "tolerations", "affinity", "imagePullSecrets"}
    assert scheduling <= pod.keys()
    optional = {"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"}
    assert optional <= {document["kind"] for document in objects}
    assert "annotations" not in only(objects, "CustomResourceDefinition")["metadata"]


@pytest.mark.parametrize(("release", "name"), [("workerpool", "workerpool"), ("acme", "acme-workerpool")])
def test_names_begin_with_the_release(helm: Helm, release: str, name: str) -> None:
    shown = helm("template", release, str(CHART), f"--kube-version={KUBERNETES}", "--show-only=templates/service.yaml")
    assert f"name: {name}-operator\n" in shown


def test_longest_release_name_leaves_valid_names(helm: Helm) -> None:
    longest = "r" * 53
    text = helm("template", longest, str(CHART), f"--kube-version={KUBERNETES}", "--show-only=templates/service.yaml")
    assert f"name: {'r' * 50}-operator\n" in text


def test_definition_stays_when_the_release_goes(helm: Helm) -> None:
    metadata = only(helm.render(), "CustomResourceDefinition")["metadata"]
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert metadata["labels"]["app.kubernetes.io/instance"] == RELEASE
    assert not any(item["kind"] == "CustomResourceDefinition" for item in helm.render("--set=crds.install=false"))


def test_alerts_name_the_operator_where_it_runs(helm: Helm) -> None:
    rules = only(helm.render("--set=metrics.prometheusRule.enabled=true"), "PrometheusRule")["spec"]["groups"][0]
    names = [rule["alert"] for rule in rules["rules"]]
    assert names == [
        "WorkerPoolOperatorDown",
        "WorkerPoolStalled",
        "WorkerPoolBacklogUnknown",
        "WorkerPoolBacklogGrowsAtMaximum",
    ]
    assert f'job="workerpool-operator", namespace="{NAMESPACE}"' in rules["rules"][0]["expr"]
    assert all({"summary", "description"} == rule["annotations"].keys() for rule in rules["rules"])
    assert "{{ $labels.pool }}" in rules["rules"][1]["annotations"]["summary"]
