"""Manifests: what is read, and how mistakes are told."""

import base64

import pytest

from workerpool_operator.manifest import ManifestError, Manifests, load

GOOD = """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: certificates, labels: {team: a}}
spec:
  source:
    postgres: {urlSecretRef: {name: queue-db}, queue: certificates}
  worker:
    app: shop.workers
  scaling: {maxReplicas: 20, backlogPerReplica: 10}
  replicas: null
"""


def problems(text: str) -> list[str]:
    """The problems of a file called pool.yaml."""
    with pytest.raises(ManifestError) as caught:
        load({"pool.yaml": text})
    return list(caught.value.problems)


def test_pools_and_secrets_of_several_files() -> None:
    """Documents of all files come together; other kinds are told and left alone."""
    encoded = base64.b64encode(b"postgresql://u:p@db/x\n").decode()
    secret = f"kind: Secret\nmetadata: {{name: queue-db}}\ndata: {{url: {encoded}}}\nstringData: {{other: plain}}\n"
    found = load({"a.yaml": f"---\n{GOOD}---\n", "b.yaml": secret + "---\nkind: Deployment\n"})
    assert [pool.metadata.name for pool in found.pools] == ["certificates"]
    assert found.secrets == {"queue-db": {"url": "postgresql://u:p@db/x", "other": "plain"}}
    assert found.notices == (
        "b.yaml:3: data.url: ends in a line break, which was left out",
        "b.yaml:6: kind Deployment is not used on one machine",
    )
    assert "postgresql" not in repr(found)


def test_every_mistake_of_a_file_is_told_with_its_line() -> None:
    """One run of the command is enough to correct a manifest."""
    text = GOOD.replace("maxReplicas: 20", "maxReplicas: many").replace("app: shop.workers", "concurency: 3")
    text = text.replace(", queue: certificates", "")
    assert problems(text) == [
        (
            "pool.yaml:6: spec.source.postgres.queue: is missing; add it: "
            "Name of the queue whose backlog sets the size of this pool"
        ),
        "pool.yaml:8: spec.worker.concurency: unknown field; did you mean concurrency?",
        "pool.yaml:9: spec.scaling.maxReplicas: 'many' is not a whole number; write one without quotes",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("maxReplicas: 20", "maxReplicas: 0", ":9: spec.scaling.maxReplicas: 0 is too small; the least is 1"),
        ("maxReplicas: 20", "maxReplicas: 5000", ":9: spec.scaling.maxReplicas: 5000 is too large; the most is 1000"),
        (
            "maxReplicas: 20",
            "max_replicas: 20",
            ":9: spec.scaling.max_replicas: unknown field; did you mean maxReplicas?",
        ),
        (
            "maxReplicas: 20",
            "maxReplicas: 2, minReplicas: 3",
            ":9: spec.scaling.minReplicas: 3 is above maxReplicas 2; ",
        ),
        (
            "scaling: {",
            "scaling: {pause: {mode: Stop}, ",
            ":9: spec.scaling.pause.mode: 'Stop' is not known; use 'Hold'",
        ),
        (
            "name: certificates,",
            "name: Certificates,",
            ":3: metadata.name: 'Certificates' has a form that is not allowed",
        ),
        (
            "workerpool.dev/v1",
            "workerpool.dev/v9",
            ":1: apiVersion: 'workerpool.dev/v9' is not known; use 'workerpool.",
        ),
        ("kind: WorkerPool", "kind: WorkerPools", ":2: kind: 'WorkerPools' is not known; did you mean WorkerPool?"),
        ("kind: WorkerPool", "kind: [1]", ":1: kind: is missing; add kind: WorkerPool"),
        ("postgres:", "kafka:", ":6: spec.source.kafka: unknown field; known here: postgres, rabbitmq"),
        (
            "postgres: {",
            "rabbitmq: {host: mq, ",
            ":6: spec.source.rabbitmq.host: urlSecretRef and host exclude each other; remove one",
        ),
        ("postgres: {", "rabbitmq: {vhost: v, ", ":6: spec.source.rabbitmq.vhost: belongs to host; set host, or write"),
        ("app: shop.workers", "processes: 1", "spec.worker.app: exactly one of app and builtin is needed; set app to"),
        ("app: shop.workers", "app: shop.workers\n    app: b", ":8: field 'app' is there twice; remove one"),
        (
            "  worker:\n",
            "  worker: 3\n  x:\n",
            ":7: spec.worker: 3 is not a group of fields; The code that runs the jobs",
        ),
        ("spec:\n", "spec: [\n", "; correct the YAML"),
        ("  replicas: null", "  replicas: &a [*a]", ":10: an alias contains itself"),
    ],
)
def test_mistakes_in_words(old: str, new: str, expected: str) -> None:
    """Field, value and cure, at the right line."""
    assert old in GOOD
    assert expected in "\n".join(problems(GOOD.replace(old, new, 1)))


def test_names_must_differ() -> None:
    """Two pools of one name would fight."""
    assert problems(f"{GOOD}---\n{GOOD}") == [
        "pool.yaml:14: metadata.name: 'certificates' is taken by another WorkerPool; choose another"
    ]


@pytest.mark.parametrize("body", ["data: {url: '%%%secret'}", "stringData: {url: 70365}"])
def test_mistakes_in_secrets_never_show_the_value(body: str) -> None:
    """Only the key is named."""
    [problem] = problems(f"kind: Secret\nmetadata: {{name: db}}\n{body}\n")
    assert ".url: is not" in problem
    assert "secret" not in problem
    assert "70365" not in problem


def test_a_file_without_a_pool() -> None:
    """Nothing to run is a mistake."""
    assert problems("") == ["pool.yaml: no WorkerPool in it; add a document with kind: WorkerPool"]


def test_pause_until_is_a_time() -> None:
    """YAML's own timestamps keep their time zone."""
    text = GOOD.replace("scaling: {", "scaling: {pause: {mode: Hold, until: 2027-01-15T08:00:00Z}, ")
    found: Manifests = load({"pool.yaml": text})
    pause = found.pools[0].spec.scaling.pause
    assert pause is not None
    assert pause.until is not None
    assert pause.until.isoformat() == "2027-01-15T08:00:00+00:00"
