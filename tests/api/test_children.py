"""A pool's children on a real API server: accepted as they are, written once, repaired when a hand changed them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import ApiServer
from tests.support.pools import UID, pool
from workerpool_contract.names import MANAGER
from workerpool_operator.desired.children import Children, children
from workerpool_operator.desired.surroundings import Surroundings
from workerpool_operator.desired.unchanged import unchanged
from workerpool_operator.kube.api import DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, ApiError, Body
from workerpool_operator.kube.client import Client

pytestmark = pytest.mark.kubernetes

FULL = Path(__file__).parents[1] / "unit/operator/golden/full.pool.yaml"
AROUND = Surroundings(uid=UID, secret_version="4711")
EMPTY = """
worker:
  app: a
  image: i
  podTemplate:
    metadata: {annotations: {empty: ""}}
    spec:
      hostNetwork: false
      nodeSelector: {}
      topologySpreadConstraints: []
      initContainers: []
      securityContext: {supplementalGroups: []}
      tolerations: [{key: spot, value: "", operator: Exists, effect: ""}]
      volumes: [{name: c, configMap: {name: c, optional: false, items: []}}]
      terminationGracePeriodSeconds: null
      affinity: {nodeAffinity: {}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
      containers:
      - name: runner
        command: []
        tty: false
        workingDir: ""
        env: [{name: A, value: ""}, {name: B, valueFrom: {configMapKeyRef: {name: c, key: k, optional: false}}}]
        resources: {requests: {cpu: 0.5, memory: 1024Mi}, limits: {cpu: "1.50", memory: "2e9"}}
        livenessProbe: {initialDelaySeconds: 0}
        lifecycle: {preStop: {sleep: {seconds: 0}}}
"""
SPECS = {"minimal": "", "full": FULL.read_text(encoding="utf-8"), "empty values": EMPTY}


def made(namespace: str, spec: str = "", size: int = 2) -> Children:
    """The children of a pool."""
    return children(pool(spec, namespace=namespace), size, AROUND)


async def apply(kube: Client, wanted: Children) -> tuple[Body, Body]:
    """What the API server holds after both were applied."""
    deployment = await kube.apply(DEPLOYMENTS, wanted.deployment, manager=MANAGER)
    return deployment, await kube.apply(DISRUPTION_BUDGETS, wanted.disruption_budget, manager=MANAGER)


@pytest.mark.parametrize("spec", SPECS)
async def test_they_are_accepted_and_written_once(kube: Client, namespace: str, spec: str) -> None:
    wanted = made(namespace, SPECS[spec])
    deployment, budget = await apply(kube, wanted)
    assert unchanged(wanted.deployment, deployment)
    assert unchanged(wanted.disruption_budget, budget)
    again, _ = await apply(kube, wanted)
    assert again["metadata"]["resourceVersion"] == deployment["metadata"]["resourceVersion"]


async def test_another_size_is_written(kube: Client, namespace: str) -> None:
    deployment, _ = await apply(kube, made(namespace, size=2))
    wanted = made(namespace, size=3)
    assert not unchanged(wanted.deployment, deployment)
    after, _ = await apply(kube, wanted)
    assert unchanged(wanted.deployment, after)
    assert after["spec"]["replicas"] == 3


async def test_what_the_spec_no_longer_says_is_removed(kube: Client, namespace: str) -> None:
    before, _ = await apply(kube, made(namespace, SPECS["full"]))
    wanted = made(namespace)
    assert not unchanged(wanted.deployment, before)
    after, _ = await apply(kube, wanted)
    assert unchanged(wanted.deployment, after)
    assert [it["name"] for it in after["spec"]["template"]["spec"]["containers"]] == ["runner"]
    assert "nodeSelector" not in after["spec"]["template"]["spec"]


@pytest.mark.parametrize("part", ["labels", "annotations"])
async def test_what_others_add_is_left_alone(kube: Client, namespace: str, part: str) -> None:
    wanted = made(namespace)
    await apply(kube, wanted)
    after = await kube.merge(DEPLOYMENTS, namespace, "orders", {"metadata": {part: {"theirs": "x"}}})
    assert unchanged(wanted.deployment, after)


HANDS: dict[str, Mapping[str, Any]] = {
    "the size": {"replicas": 9},
    "the strategy": {"strategy": {"type": "Recreate", "rollingUpdate": None}},
    "the grace": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}},
    "a container replaced": {"template": {"spec": {"containers": [{"name": "runner", "image": "other"}]}}},
    "a volume removed": {"template": {"spec": {"volumes": None, "containers": [{"name": "runner", "image": "i"}]}}},
    "a node selector": {"template": {"spec": {"nodeSelector": {"disk": "hdd"}}}},
    "a false that was left out": {"template": {"spec": {"automountServiceAccountToken": None}}},
    "a false that became true": {"template": {"spec": {"enableServiceLinks": None}}},
    "the token": {"template": {"metadata": {"annotations": {"workerpool.dev/secret-version": None}}}},
}


@pytest.mark.parametrize("hand", HANDS)
async def test_what_a_hand_changed_is_repaired(kube: Client, namespace: str, hand: str) -> None:
    wanted = made(namespace, SPECS["full"])
    await apply(kube, wanted)
    edited = await kube.merge(DEPLOYMENTS, namespace, "orders", {"spec": HANDS[hand]})
    assert not unchanged(wanted.deployment, edited)
    repaired, _ = await apply(kube, wanted)
    assert unchanged(wanted.deployment, repaired)


async def test_a_budget_changed_by_hand_is_repaired(kube: Client, namespace: str) -> None:
    wanted = made(namespace)
    await apply(kube, wanted)
    edited = await kube.merge(DISRUPTION_BUDGETS, namespace, "orders", {"spec": {"maxUnavailable": 0}})
    assert not unchanged(wanted.disruption_budget, edited)
    _, repaired = await apply(kube, wanted)
    assert unchanged(wanted.disruption_budget, repaired)


async def test_the_pods_keep_the_restricted_pod_security_standard(
    kube: Client, api_server: ApiServer, namespace: str
) -> None:
    api_server.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    await kube.create(PODS, _pod(made(namespace)))
    lax = "worker: {app: a, image: i, podTemplate: {spec: {containers: [{name: runner, securityContext: null}]}}}"
    with pytest.raises(ApiError, match="violates PodSecurity"):
        await kube.create(PODS, _pod(made(namespace, lax)))


def _pod(of: Children) -> Body:
    """A pod as the Deployment would make it."""
    template = of.deployment["spec"]["template"]
    metadata = {"generateName": "orders-", "namespace": of.deployment["metadata"]["namespace"]}
    return {"metadata": {**template["metadata"], **metadata}, "spec": template["spec"]}
