"""The documents of a pool: compared with readable files, and rule by rule. A changed file is a change for all users."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pools import UID, pool
from workerpool_contract import names
from workerpool_contract.environment import from_environment, settings_of
from workerpool_operator.desired.children import Children, children
from workerpool_operator.desired.labels import controller_uid, labels, ours, selector
from workerpool_operator.desired.surroundings import IN_A_POD, Surroundings, Unbuildable

GOLDEN = Path(__file__).parents[1] / "golden"
AROUND = Surroundings(uid=UID)


def template(spec: str = "", around: Surroundings = AROUND) -> dict[str, Any]:
    """The pod template of a pool with this spec."""
    found: dict[str, Any] = children(pool(spec), 1, around).deployment["spec"]["template"]
    return found


def runner(spec: str = "", around: Surroundings = AROUND) -> dict[str, Any]:
    """The runner's container."""
    found: dict[str, Any] = template(spec, around)["spec"]["containers"][0]
    return found


def with_template(part: str) -> str:
    """A spec with this pod template."""
    return f"worker: {{app: a, image: i, podTemplate: {part}}}"


def golden(name: str) -> list[Any]:
    """The documents of a file."""
    return list(yaml.safe_load_all((GOLDEN / name).read_text(encoding="utf-8")))


def documents(made: Children) -> list[Any]:
    """As in a golden file."""
    return [made.deployment, made.disruption_budget]


def test_a_pool_that_says_no_more_than_it_must() -> None:
    assert documents(children(pool(), 2, AROUND)) == golden("minimal.yaml")


def test_a_pool_that_says_everything() -> None:
    around = replace(AROUND, secret_version="4711")
    spec = (GOLDEN / "full.pool.yaml").read_text(encoding="utf-8")
    assert documents(children(pool(spec), 5, around)) == golden("full.yaml")


def test_a_pool_on_a_broker_with_a_builtin_worker() -> None:
    """The URL of the management API stays with the operator."""
    around = replace(AROUND, secret_version="mq-ca=7,mq-user=4711,s3=9", secret_seen="mq-ca=7,mq-user=4712,s3=9")
    spec = (GOLDEN / "archive.pool.yaml").read_text(encoding="utf-8")
    assert documents(children(pool(spec), 1, around)) == golden("archive.yaml")


def test_a_broker_by_its_url() -> None:
    source = "source: {rabbitmq: {queue: q, urlSecretRef: {name: mq}, tls: {caSecretRef: {name: ca, key: root.pem}}}}"
    found = template(f"{source}\nworker: {{app: a, image: i}}")["spec"]
    env = {it["name"]: it for it in found["containers"][0]["env"]}
    assert env[names.ENV_URL]["valueFrom"] == {"secretKeyRef": {"name": "mq", "key": "url"}}
    assert env[names.ENV_RABBITMQ_CA_FILE]["value"] == "/etc/workerpool/rabbitmq/ca.crt"
    assert names.ENV_RABBITMQ_HOST not in env
    [volume] = [it for it in found["volumes"] if "secret" in it]
    assert volume["secret"] == {"secretName": "ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}


def test_the_size_changes_no_pod() -> None:
    small, large = (children(pool(), size, AROUND).deployment["spec"] for size in (0, 7))
    assert (small.pop("replicas"), large.pop("replicas")) == (0, 7)
    assert small == large


def test_nothing_is_shared_between_two_answers() -> None:
    first = children(pool(), 1, AROUND)
    first.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = 7
    first.deployment["spec"]["template"]["spec"]["containers"].clear()
    assert documents(children(pool(), 2, AROUND)) == golden("minimal.yaml")


def test_the_default_image_serves_pools_without_one() -> None:
    assert runner("worker: {app: a}", replace(AROUND, default_image="d:1"))["image"] == "d:1"
    assert runner("worker: {app: a, image: i}", replace(AROUND, default_image="d:1"))["image"] == "i"
    own = "worker: {app: a, podTemplate: {spec: {containers: [{name: runner, image: own}]}}}"
    assert runner(own)["image"] == "own"


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ("worker: {app: a}", "ImageMissing", "spec.worker.image is not set and the operator has no default image; set"),
        (
            "source: {postgres: {queue: q}}",
            "SecretRefMissing",
            "spec.source.postgres.urlSecretRef is not set; name the",
        ),
        (
            "source: {rabbitmq: {queue: q}}",
            "SecretRefMissing",
            "spec.source.rabbitmq.urlSecretRef is not set; name the Secret and the key that hold the queue's URL, or",
        ),
        (with_template("{spec: {containers: null}}"), "PodTemplateInvalid", "no runner is left; remove the null"),
        (
            with_template("{spec: {securityContext: null, volumes: [{name: v}], hostAliases: [{hostnames: [x]}]}}"),
            "PodTemplateInvalid",
            "spec.worker.podTemplate.spec.hostAliases[0]: lacks the field ip",
        ),
        (
            with_template("{spec: {containers: [{name: runner, livenessProbe: x}]}}"),
            "PodTemplateInvalid",
            "spec.worker.podTemplate.spec.containers[0].livenessProbe: 'x' is not a map",
        ),
    ],
)
def test_what_cant_be_built_is_told_with_field_and_cure(spec: str, reason: str, words: str) -> None:
    with pytest.raises(Unbuildable) as caught:
        children(pool(spec), 1, AROUND)
    assert caught.value.reason == reason
    assert words in caught.value.message == str(caught.value)


def test_the_environment_makes_the_runner_read_the_pool() -> None:
    wanted = pool((GOLDEN / "full.pool.yaml").read_text(encoding="utf-8"))
    made = children(wanted, 1, AROUND).deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    environ = {it["name"]: it.get("value", "pod-1") for it in made}
    expected = settings_of("orders", wanted.spec, "pod-1", replace(IN_A_POD, worker_id="pod-1"))
    assert from_environment(environ) == replace(expected, log_format="text")  # the pod template says so


def test_no_secret_is_written_out() -> None:
    env = {it["name"]: it for it in runner()["env"]}
    assert env[names.ENV_URL] == {
        "name": names.ENV_URL,
        "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}},
    }


def test_older_names_in_an_image_dont_win_over_the_spec() -> None:
    environ = {it["name"]: it["value"] for it in runner()["env"] if "value" in it}
    found = from_environment({**environ, "JOB_TIMEOUT_MS": "1", "WORKER_HEALTH_PORT": "1"})
    assert (found.job_timeout, found.probe_port) == (300.0, names.PROBE_PORT)


@pytest.mark.parametrize("name", [names.ENV_WORKER_ID, names.ENV_PROBE_PORT])
@pytest.mark.parametrize("change", ["value: x", "$patch: delete"])
def test_what_operator_and_runner_agree_on_stays(name: str, change: str) -> None:
    spec = with_template(f"{{spec: {{containers: [{{name: runner, env: [{{name: {name}, {change}}}]}}]}}}}")
    assert sorted(runner(spec)["env"], key=str) == sorted(runner("worker: {app: a, image: i}")["env"], key=str)


def test_other_variables_are_the_users() -> None:
    part = "[{name: WORKERPOOL_URL, valueFrom: {secretKeyRef: {name: other, key: url}}}, {name: A, value: b}]"
    env = runner(with_template(f"{{spec: {{containers: [{{name: runner, env: {part}}}]}}}}"))["env"]
    assert env[-1] == {"name": "A", "value": "b"}
    url = {"name": "WORKERPOOL_URL", "valueFrom": {"secretKeyRef": {"name": "other", "key": "url"}}}
    assert [it for it in env if it["name"] == "WORKERPOOL_URL"] == [url]


@pytest.mark.parametrize("part", ["{metadata: {labels: null}}", "{metadata: {labels: {workerpool.dev/pool: x}}}"])
def test_the_selector_always_selects(part: str) -> None:
    deployment = children(pool(with_template(part)), 1, AROUND).deployment["spec"]
    found = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= found.items()
    assert found[names.LABEL_MANAGED_BY] == names.MANAGER


def test_a_change_of_the_secret_changes_the_pods() -> None:
    part = with_template("{metadata: {annotations: {note: x, workerpool.dev/secret-version: mine}}}")
    found = template(part, replace(AROUND, secret_version="8"))["metadata"]["annotations"]
    assert found == {"note": "x", names.ANNOTATION_SECRET_VERSION: "8"}
    assert "annotations" not in template()["metadata"]


@pytest.mark.parametrize(
    ("worker", "grace"),
    [("", 330), (", jobTimeoutSeconds: 60", 90), (", jobTimeoutSeconds: 60, drainTimeoutSeconds: 100", 115)],
)
def test_the_grace_covers_the_drain(worker: str, grace: int) -> None:
    assert template(f"worker: {{app: a, image: i{worker}}}")["spec"]["terminationGracePeriodSeconds"] == grace


def test_marks_of_a_pool() -> None:
    made = children(pool(), 1, AROUND).deployment
    assert ours(made, "orders")
    assert not ours(made, "other")
    assert not ours({"metadata": {}}, "orders")
    assert controller_uid(made) == UID
    assert controller_uid({"metadata": {"ownerReferences": [{"uid": "x"}]}}) is None
    assert selector("orders") == {"workerpool.dev/pool": "orders"}
    assert all(len(value) <= 63 for value in labels("a" * 52).values())


def test_how_far_the_secret_is_known_is_written_where_it_rolls_nobody() -> None:
    first, second = (children(pool(), 1, replace(AROUND, secret_version="8", secret_seen=seen)) for seen in ("8", "9"))
    assert second.deployment["metadata"]["annotations"] == {"workerpool.dev/secret-seen": "9"}
    assert first.deployment["spec"] == second.deployment["spec"]
    assert first.disruption_budget == second.disruption_budget
