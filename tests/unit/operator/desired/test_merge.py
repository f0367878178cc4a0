"""The merge of a partial pod template, rule by rule, and what holds for any two documents."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workerpool_operator.desired.merge import Misfit, merge

RULES = {
    "nothing": ("{a: 1}", "{}", "{a: 1}"),
    "a field more": ("{a: 1}", "{b: 2}", "{a: 1, b: 2}"),
    "a field replaced": ("{a: 1}", "{a: 2}", "{a: 2}"),
    "a field removed": ("{a: 1, b: 2}", "{a: null}", "{b: 2}"),
    "a field removed that isn't there": ("{a: 1}", "{b: null}", "{a: 1}"),
    "maps merged deeply": ("{a: {b: {c: 1, d: 2}}}", "{a: {b: {c: 3}}}", "{a: {b: {c: 3, d: 2}}}"),
    "nulls in what is new": ("{}", "{a: {b: null, c: [{d: null, e: 1}]}}", "{a: {c: [{e: 1}]}}"),
    "an empty map merges": ("{a: {b: 1}}", "{a: {}}", "{a: {b: 1}}"),
    "other lists replaced": ("{args: [a, b]}", "{args: [c]}", "{args: [c]}"),
    "other lists emptied": ("{args: [a, b]}", "{args: []}", "{args: []}"),
    "containers by name": (
        "{containers: [{name: a, image: x, tty: true}]}",
        "{containers: [{name: b, image: z}, {name: a, image: y}]}",
        "{containers: [{name: a, image: y, tty: true}, {name: b, image: z}]}",
    ),
    "an empty list of containers merges": (
        "{containers: [{name: a}]}",
        "{containers: []}",
        "{containers: [{name: a}]}",
    ),
    "an item deleted": (
        "{volumes: [{name: a}, {name: b}]}",
        "{volumes: [{name: a, $patch: delete}, {name: c, $patch: delete}]}",
        "{volumes: [{name: b}]}",
    ),
    "a variable replaced as a whole": (
        "{env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}, {name: B, value: b}]}",
        "{env: [{name: C, value: c}, {name: A, value: a}]}",
        "{env: [{name: A, value: a}, {name: B, value: b}, {name: C, value: c}]}",
    ),
    "a volume replaced as a whole": (
        "{volumes: [{name: tmp, emptyDir: {}}]}",
        "{volumes: [{name: tmp, persistentVolumeClaim: {claimName: c}}]}",
        "{volumes: [{name: tmp, persistentVolumeClaim: {claimName: c}}]}",
    ),
    "mounts by path": (
        "{volumeMounts: [{name: tmp, mountPath: /tmp}]}",
        "{volumeMounts: [{name: tmp, mountPath: /var/tmp}, {name: big, mountPath: /tmp}]}",
        "{volumeMounts: [{name: big, mountPath: /tmp}, {name: tmp, mountPath: /var/tmp}]}",
    ),
    "ports by number and protocol": (
        "{ports: [{name: a, containerPort: 1, protocol: TCP}]}",
        "{ports: [{name: b, containerPort: 1}, {name: c, containerPort: 1, protocol: UDP}]}",
        "{ports: [{name: b, containerPort: 1, protocol: TCP}, {name: c, containerPort: 1, protocol: UDP}]}",
    ),
    "another handler of a probe": (
        "{livenessProbe: {httpGet: {path: /}, periodSeconds: 1}}",
        "{livenessProbe: {exec: {command: [x]}}}",
        "{livenessProbe: {exec: {command: [x]}, periodSeconds: 1}}",
    ),
    "the same handler of a probe": (
        "{livenessProbe: {httpGet: {path: /, port: 1}}}",
        "{livenessProbe: {httpGet: {path: /x}}}",
        "{livenessProbe: {httpGet: {path: /x, port: 1}}}",
    ),
    "another handler of a hook": (
        "{lifecycle: {preStop: {exec: {command: [x]}}}}",
        "{lifecycle: {preStop: {sleep: {seconds: 1}}}}",
        "{lifecycle: {preStop: {sleep: {seconds: 1}}}}",
    ),
    "spread constraints replaced": (
        "{topologySpreadConstraints: [{topologyKey: a, maxSkew: 1}]}",
        "{topologySpreadConstraints: [{topologyKey: a}]}",
        "{topologySpreadConstraints: [{topologyKey: a}]}",
    ),
    "a label called like a list": (
        "{labels: {env: a}}",
        "{labels: {env: b, ports: c}}",
        "{labels: {env: b, ports: c}}",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule: str) -> None:
    base, patch, expected = (yaml.safe_load(text) for text in RULES[rule])
    before = deepcopy((base, patch))
    assert merge(base, patch, "it") == expected
    assert (base, patch) == before


def test_ours_keep_their_order_and_new_ones_come_after() -> None:
    merged = merge({"env": [{"name": "B"}, {"name": "A"}]}, {"env": [{"name": "C"}, {"name": "A"}]}, "it")
    assert [it["name"] for it in merged["env"]] == ["B", "A", "C"]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("{spec: x}", "it.spec: 'x' is not a map; write its fields below it"),
        ("{spec: {containers: {name: a}}}", "it.spec.containers: {'name': 'a'} is not a list; put a dash before each"),
        ("{spec: {containers: [a]}}", "it.spec.containers[0]: 'a' is not a map; items of containers are maps with"),
        ("{spec: {containers: [{image: a}]}}", "it.spec.containers[0]: lacks the field name, by which items of cont"),
        ("{spec: {containers: [{name: [a]}]}}", "it.spec.containers[0]: lacks the field name"),
        ("{spec: {containers: [{name: a, env: [{name: x}, {}]}]}}", "it.spec.containers[0].env[1]: lacks the field"),
    ],
)
def test_what_doesnt_fit_is_told_with_its_place(patch: str, words: str) -> None:
    with pytest.raises(Misfit) as caught:
        merge({"spec": {"containers": [{"name": "a"}]}}, yaml.safe_load(patch), "it")
    assert str(caught.value).startswith(words)


def test_an_error_repeats_no_document() -> None:
    with pytest.raises(Misfit) as caught:
        merge({"a": {}}, {"a": "x" * 1000}, "it")
    assert len(str(caught.value)) < 120


NAMES = st.sampled_from("abc")
SCALARS = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y"]))
ITEMS = st.lists(st.fixed_dictionaries({"name": NAMES}, optional={"image": SCALARS}), unique_by=lambda it: it["name"])
PARTS = st.fixed_dictionaries({}, optional={"containers": ITEMS, "args": st.lists(SCALARS), "tty": SCALARS})


@given(PARTS, PARTS)
def test_merging_twice_is_merging_once(base: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(base, patch, "it")
    assert merge(once, patch, "it") == once


@given(PARTS)
def test_a_document_over_itself_is_itself(document: dict[str, Any]) -> None:
    assert merge(document, document, "it") == document
    assert merge(document, {}, "it") == document
