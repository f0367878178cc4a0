"""Whether a write is needed: what differs, what nobody wants any more, and what only looks different.

`tests/api/test_children.py` asks the same of a real API server; here are the cases one by one.
"""

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pools import UID, pool
from workerpool_contract.names import MANAGER
from workerpool_operator.desired.children import children
from workerpool_operator.desired.keys import DEFAULTS, KEYS
from workerpool_operator.desired.surroundings import Surroundings
from workerpool_operator.desired.unchanged import ATOMIC, unchanged

APPLIED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop, labels: {a: b}}
spec:
  replicas: 2
  selector: {matchLabels: {a: b}}
  template:
    spec:
      nodeSelector: {disk: ssd}
      tolerations: [{key: spot, operator: Exists}]
      volumes: [{name: tmp, emptyDir: {sizeLimit: 1024Mi}}]
      enableServiceLinks: false
      containers:
      - name: runner
        args: [a, b]
        env: [{name: A, value: x}, {name: B, value: ""}]
        ports: [{name: probes, containerPort: 3002}]
        resources: {requests: {cpu: 0.1, memory: 1Gi}}
"""


def document() -> Any:
    """What is applied."""
    return yaml.safe_load(APPLIED)


def fields_of(part: Any, key: str = "") -> dict[str, Any]:
    """The managedFields tree that the API server records for ``part``, the value of ``key``."""
    if isinstance(part, dict) and key not in ATOMIC:
        return {f"f:{name}": fields_of(value, name) for name, value in part.items()}
    if isinstance(part, list) and key in KEYS:
        tree = {}
        for item in part:
            who = {name: item.get(name, DEFAULTS.get(name)) for name in KEYS[key]}
            tree[f"k:{json.dumps(who)}"] = {".": {}, **fields_of(item)}
        return tree
    return {}


def stored(applied: Any, manager: str = MANAGER) -> Any:
    """The object as the API server would hold it after ``manager`` applied it, defaults and all."""
    live = deepcopy(applied)
    owned = {key: part for key, part in applied.items() if key not in ("apiVersion", "kind")}
    owned["metadata"] = {key: part for key, part in owned["metadata"].items() if key not in ("name", "namespace")}
    entry = {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields_of(owned)}
    other = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}
    live["metadata"] |= {
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "managedFields": [{**other, "fieldsV1": {"f:status": {}}}, entry],
    }
    live["status"] = {"replicas": 2}
    spec = live["spec"]["template"]["spec"]
    spec |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}
    spec["volumes"][0]["emptyDir"]["sizeLimit"] = "1Gi"
    runner = spec["containers"][0]
    del runner["env"][1]["value"]
    runner["ports"][0]["protocol"] = "TCP"
    runner["resources"]["requests"]["cpu"] = "100m"
    runner["imagePullPolicy"] = "IfNotPresent"
    return live


def place(document: Any, path: str) -> tuple[Any, Any]:
    """The group that ``path`` (names and numbers with slashes) leads to, and its last step."""
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("/"))
    for step in steps:
        document = document[step]
    return document, last


SPEC, RUNNER = "spec/template/spec", "spec/template/spec/containers/0"


def test_what_was_just_applied_needs_no_write() -> None:
    assert unchanged(document(), stored(document()))


def test_items_of_a_list_response_lack_kind_and_version() -> None:
    live = stored(document())
    del live["kind"], live["apiVersion"]
    assert unchanged(document(), live)


@pytest.mark.parametrize(("given", "kept"), [(1, "1"), ("1024Ki", "1Mi")])
def test_a_divisor_is_an_amount(given: object, kept: str) -> None:
    def with_divisor(divisor: object) -> Any:
        found = document()
        source = {"resourceFieldRef": {"resource": "limits.memory", "divisor": divisor}}
        found["spec"]["template"]["spec"]["containers"][0]["env"][0] = {"name": "A", "valueFrom": source}
        return found

    assert unchanged(with_divisor(given), stored(with_divisor(kept)))
    assert not unchanged(with_divisor(given), stored(with_divisor("2Mi")))


OTHERS = {
    "metadata/annotations/note": "theirs",
    "metadata/labels/theirs": "x",
    "metadata/resourceVersion": "9",
    "status/replicas": 9,
    f"{SPEC}/containers/1": {"name": "injected", "image": "x"},
    f"{RUNNER}/env/2": {"name": "THEIRS", "value": "x"},
    f"{RUNNER}/resources/limits": {"memory": "2Gi"},
    f"{RUNNER}/resources/requests/memory": "1024Mi",
    f"{RUNNER}/resources/requests/example.com~gpu": 1,
    f"{SPEC}/priority": 0,
}


@pytest.mark.parametrize("path", OTHERS)
def test_what_belongs_to_others_needs_no_write(path: str) -> None:
    live = stored(document())
    group, last = place(live, path)
    if isinstance(group, list):
        group.insert(0, OTHERS[path])
    else:
        group[last] = OTHERS[path]
    assert unchanged(document(), live)


CHANGED = {
    "spec/replicas": 3,
    "metadata/labels/a": "c",
    "metadata/labels": None,
    "spec/selector/matchLabels": {"a": "b", "c": "d"},
    f"{SPEC}/nodeSelector": {"disk": "ssd", "zone": "a"},
    f"{SPEC}/tolerations": [{"key": "spot", "operator": "Exists"}, {"operator": "Exists"}],
    f"{SPEC}/tolerations/0/key": "other",
    f"{SPEC}/enableServiceLinks": True,
    f"{SPEC}/volumes": [],
    f"{SPEC}/volumes/0/emptyDir/sizeLimit": "2Gi",
    f"{RUNNER}/name": "another",
    f"{RUNNER}/args": ["b", "a"],
    f"{RUNNER}/args/1": "c",
    f"{RUNNER}/env/0/value": "y",
    f"{RUNNER}/env/0/name": "C",
    f"{RUNNER}/env/1/value": "set by hand",
    f"{RUNNER}/ports/0/protocol": "UDP",
    f"{RUNNER}/resources/requests/cpu": "1",
    f"{RUNNER}/resources/requests": None,
    f"{RUNNER}/env": "not a list",
    f"{RUNNER}/resources": "not a map",
}


@pytest.mark.parametrize("path", CHANGED)
def test_what_a_hand_changed_is_written_again(path: str) -> None:
    live = stored(document())
    group, last = place(live, path)
    group[last] = CHANGED[path]
    assert not unchanged(document(), live)


DROPPED = [
    "metadata/labels/a",
    "spec/replicas",
    f"{SPEC}/nodeSelector",
    f"{SPEC}/volumes/0",
    f"{SPEC}/enableServiceLinks",
    f"{RUNNER}/env/0",
    f"{RUNNER}/args",
    f"{RUNNER}/resources/requests/cpu",
    f"{RUNNER}/ports",
]


@pytest.mark.parametrize("path", DROPPED)
def test_what_we_applied_and_no_longer_want_is_removed(path: str) -> None:
    wanted = document()
    group, last = place(wanted, path)
    del group[last]
    assert not unchanged(wanted, stored(document()))


@pytest.mark.parametrize("path", [f"{SPEC}/enableServiceLinks", f"{RUNNER}/env/0/value"])
def test_what_a_hand_took_over_is_taken_back(path: str) -> None:
    """Also when the value is the same, or empty: the next change of it must be ours alone."""
    live = stored(document())
    fields = live["metadata"]["managedFields"][1]["fieldsV1"]
    spec = fields["f:spec"]["f:template"]["f:spec"]
    if path.endswith("enableServiceLinks"):
        del spec["f:enableServiceLinks"]
        del live["spec"]["template"]["spec"]["enableServiceLinks"]
    else:
        runner = next(iter(spec["f:containers"].values()))
        del next(iter(runner["f:env"].values()))["f:value"]
    assert not unchanged(document(), live)


def test_an_object_that_another_manager_applied_is_taken_over() -> None:
    live = stored(document(), manager="somebody")
    live["metadata"]["managedFields"].append(
        {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}
    )
    assert not unchanged(document(), live)


def test_without_a_record_of_owners_values_decide() -> None:
    live = stored(document())
    del live["metadata"]["managedFields"]
    assert unchanged(document(), live)
    live["spec"]["replicas"] = 3
    assert not unchanged(document(), live)


def test_a_list_without_items_is_not_stored() -> None:
    wanted = document()
    wanted["spec"]["template"]["spec"]["initContainers"] = []
    assert unchanged(wanted, stored(document()))
    wanted["spec"]["template"]["spec"]["containers"] = []
    assert not unchanged(wanted, stored(document()))


def test_nothing_stored_is_a_change() -> None:
    assert not unchanged(document(), {})


@pytest.mark.parametrize("constraints", [["x"], [{}], [{"topologyKey": "zone"}], [{"maxSkew": 1}, {"maxSkew": 2}]])
def test_lists_that_kubernetes_would_refuse_break_nothing(constraints: Any) -> None:
    wanted = document()
    wanted["spec"]["template"]["spec"]["topologySpreadConstraints"] = constraints
    assert not unchanged(wanted, stored(document()))


def _leaves(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all scalars in a document."""
    steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    found = [leaf for step, value in steps for leaf in _leaves(value, (*path, step))]
    return found if isinstance(part, dict | list) else [path]


REAL = children(pool(), 2, Surroundings(uid=UID)).deployment
LEAVES = [path for path in _leaves(REAL) if path[0] == "spec" or path[:2] == ("metadata", "labels")]


@given(st.sampled_from(LEAVES))
def test_any_value_of_a_real_deployment_that_changes_is_noticed(path: tuple[Any, ...]) -> None:
    owned = {"f:metadata": fields_of({"labels": REAL["metadata"]["labels"]}), "f:spec": fields_of(REAL["spec"])}
    owned["f:metadata"]["f:ownerReferences"] = fields_of(REAL["metadata"]["ownerReferences"], "ownerReferences")
    live = deepcopy(REAL)
    live["metadata"]["managedFields"] = [{"manager": MANAGER, "operation": "Apply", "fieldsV1": owned}]
    assert unchanged(REAL, live)
    group: Any = live
    for step in path[:-1]:
        group = group[step]
    group[path[-1]] = "changed by hand"
    assert not unchanged(REAL, live)
