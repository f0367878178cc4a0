"""The rules of the CRD, evaluated: the API server accepts exactly what the models accept."""

from collections.abc import Iterator
from typing import Any

import cel
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from pydantic import ValidationError

from workerpool_contract.spec import WorkerPool
from workerpool_operator.constraints import RULES

count = st.integers(1, 12)


@st.composite
def rabbitmq(draw: st.DrawFn) -> dict[str, Any]:
    """Sources on a broker whose fields are fine one by one."""
    secret = st.just({"name": "s"})
    management = st.fixed_dictionaries({}, optional={"url": st.just("http://mq:15672"), "urlSecretRef": secret})
    queue = st.sampled_from(["q"] * 5 + ["q" * 250, "a#.b", "#", "a.#@g", "amq.q", "workerpool.q"])
    ways: list[dict[str, Any]] = [
        {"urlSecretRef": {"name": "s"}},
        {"host": "mq"},
        {},
        {"urlSecretRef": {"name": "s"}, "host": "mq"},
    ]
    optional = {"port": st.just(5672), "vhost": st.just("/"), "credentialsSecretRef": secret, "tls": st.just({})}
    rest = st.fixed_dictionaries({"queue": queue}, optional={**optional, "management": management})
    return {**draw(st.sampled_from(ways)), **draw(rest)}


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """Manifests whose fields are fine one by one; together they may break any rule."""

    def some(**fields: st.SearchStrategy[Any]) -> dict[str, Any]:
        return draw(st.fixed_dictionaries({}, optional=fields))

    pause = some(replicas=count) | {"mode": draw(st.sampled_from(["Hold", "HoldAt", "NoScaleIn"]))}
    scaling = some(
        minReplicas=count,
        maxReplicas=count,
        fallback=st.fixed_dictionaries({"replicas": count}),
        pause=st.just(pause),
    )
    timeouts = some(jobTimeoutSeconds=st.integers(1, 400), drainTimeoutSeconds=st.integers(0, 400))
    builtin: dict[str, Any] = {"builtin": "s3-archive", "archive": {}}
    code = [{"app": "a"}] * 4 + [builtin] * 2 + [{}, {"app": "a"} | builtin, {"app": "a", "archive": {}}]
    code.append({"builtin": "s3-archive"})
    worker = draw(st.sampled_from(code)) | timeouts | some(names=st.sampled_from([[], ["w"]]))
    spec = {
        "source": some(postgres=st.just({"queue": "q"})) | some(rabbitmq=st.just(draw(rabbitmq()))),
        "worker": worker,
        **some(retry=st.just(some(initialDelaySeconds=count, maxDelaySeconds=count)), scaling=st.just(scaling)),
    }
    name = draw(st.sampled_from(["a", "a-b", "a" * 52, "a" * 53, "a.b", "-a"]))
    return {"apiVersion": "workerpool.dev/v1", "kind": "WorkerPool", "metadata": {"name": name}, "spec": spec}


def broken(manifest: dict[str, Any]) -> Iterator[str]:
    """The messages of the rules that the API server would refuse ``manifest`` by."""
    for path, rules in RULES.items():
        node: Any = manifest
        for name in path:
            node = node.get(name) if node is not None else None
        if node is not None:
            yield from (rule.message for rule in rules if not cel.evaluate(rule.holds, {"self": node}))


def refused(manifest: dict[str, Any]) -> bool:
    """Whether the models refuse ``manifest``."""
    try:
        WorkerPool.model_validate(manifest)
    except ValidationError:
        return True
    return False


@given(manifests())
def test_the_crd_refuses_what_the_models_refuse(manifest: dict[str, Any]) -> None:
    messages = list(broken(manifest))
    event("refused" if messages else "accepted")
    assert bool(messages) == refused(manifest), messages


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"scaling": {"minReplicas": 11}}, "minReplicas is above maxReplicas"),
        ({"scaling": {"fallback": {"replicas": 11}}}, "fallback.replicas is above maxReplicas"),
        ({"scaling": {"pause": {"mode": "HoldAt", "replicas": 11}}}, "pause.replicas is above maxReplicas"),
        ({"scaling": {"pause": {"mode": "HoldAt"}}}, "replicas is required with mode HoldAt"),
        ({"worker": {"app": "a", "drainTimeoutSeconds": 299}}, "drainTimeoutSeconds is below jobTimeoutSeconds"),
        ({"retry": {"initialDelaySeconds": 2, "maxDelaySeconds": 1}}, "initialDelaySeconds is above maxDelaySeconds"),
        ({"source": {}}, "exactly one source is needed"),
        ({"source": {"postgres": {}, "rabbitmq": {"queue": "q"}}}, "exactly one source is needed"),
        ({"source": {"rabbitmq": {"queue": "q", "host": "h", "urlSecretRef": {}}}}, "urlSecretRef and host exclude"),
        ({"source": {"rabbitmq": {"queue": "q", "port": 1}}}, "port belongs to host"),
        (
            {"source": {"rabbitmq": {"queue": "a.#.b"}}},
            "queue begins with a reserved prefix (amq. or workerpool.) or has #",
        ),
        ({"source": {"rabbitmq": {"queue": "amq.q"}}}, "queue begins with a reserved prefix"),
        (
            {"source": {"rabbitmq": {"queue": "q", "management": {"url": "", "urlSecretRef": {}}}}},
            "url and urlSecretRef",
        ),
        ({"worker": {}}, "exactly one of app and builtin"),
        ({"worker": {"app": "a", "archive": {}}}, "archive is required with builtin s3-archive and allowed only there"),
        ({"worker": {"builtin": "s3-archive"}}, "archive is required with builtin s3-archive and allowed only there"),
        ({"worker": {"builtin": "s3-archive", "archive": {}, "names": ["a"]}}, "names choose among the workers of app"),
        (
            {"worker": {"app": "a", "podTemplate": {"spec": {"terminationGracePeriodSeconds": 30}}}},
            "terminationGracePeriodSeconds is derived",
        ),
    ],
)
def test_each_rule_speaks_of_its_fields(spec: dict[str, Any], words: str) -> None:
    """The defaults count too: maxReplicas 10 and jobTimeoutSeconds 300 where nothing is written."""
    [message] = broken({"metadata": {"name": "a"}, "spec": spec})
    assert message.startswith(words)
