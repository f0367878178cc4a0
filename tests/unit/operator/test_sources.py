"""Which server a pool uses on this machine."""

import pytest

from workerpool_contract.environment import from_environment
from workerpool_operator.backlog.watch import Endpoint
from workerpool_operator.manifest import Manifests, load
from workerpool_operator.up.sources import SourceError, Sources, sources_of, unused_fields
from workerpool_operator.up.told import Told

POOL = """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: NAME}
spec:
  source: SOURCE
  worker: {app: a, image: registry.example/app:1, podTemplate: {spec: {}}}
---
"""
SECRET = "kind: Secret\nmetadata: {name: db}\nstringData: {url: 'postgresql://secret/x'}\n"
PEM = "-----BEGIN CERTIFICATE-----"


def told(option: str | None = None, *, authority: str | None = None, **environ: str) -> Told:
    """A command line and an environment."""
    return Told(option=option, environ=environ, base=from_environment(environ), authority=authority)


def manifests(*, reference: str = "urlSecretRef: {name: db}", secret: str = SECRET) -> Manifests:
    """A pool with a reference and one without."""
    first = POOL.replace("NAME", "with").replace("SOURCE", f"{{postgres: {{queue: q, {reference}}}}}")
    return load({"f": first + POOL.replace("NAME", "without").replace("SOURCE", "{postgres: {queue: q}}") + secret})


def broker(fields: str = "", *secrets: str, worker: str = "") -> Manifests:
    """One pool on a broker, and Secrets: ``name: {key: value}``."""
    text = POOL.replace("NAME", "mq").replace("SOURCE", f"{{rabbitmq: {{queue: q, {fields}}}}}")
    if worker:
        text = text.replace("{app: a, image: registry.example/app:1, podTemplate: {spec: {}}}", worker)
    for secret in secrets:
        name, _, data = secret.partition(": ")
        text += f"kind: Secret\nmetadata: {{name: {name}}}\nstringData: {data}\n---\n"
    return load({"f": text})


def urls(found: Sources) -> dict[str, str | None]:
    """The URLs of all pools."""
    return {name: source.endpoint.url if source.endpoint else None for name, source in found.by_pool.items()}


def endpoint(found: Sources) -> Endpoint | None:
    """The endpoint of the one pool."""
    [source] = found.by_pool.values()
    return source.endpoint


def test_the_secret_in_the_files_comes_before_the_environment() -> None:
    found = sources_of(manifests(), told(WORKERPOOL_URL="postgresql://environment/x"))
    assert urls(found) == {"with": "postgresql://secret/x", "without": "postgresql://environment/x"}
    assert not found.embedded
    assert "secret" not in repr(found)


def test_the_option_comes_before_everything() -> None:
    found = sources_of(manifests(secret=""), told("postgresql://option/x", WORKERPOOL_URL="postgresql://e"))
    assert set(urls(found).values()) == {"postgresql://option/x"}
    assert found.notices == ()


def test_without_secret_and_environment_the_embedded_database_is_used_with_a_notice() -> None:
    found = sources_of(manifests(secret=""), told(DATABASE_URL="postgresql://of-the-application/x"))
    assert found.embedded
    assert found.notices == ("with: Secret db is not in the files; the embedded database is used",)


def test_a_secret_without_the_key_is_a_mistake() -> None:
    with pytest.raises(
        SourceError, match=r"with: spec.source.postgres.urlSecretRef.key: Secret db has no key 'dsn' .*it has: url"
    ):
        sources_of(manifests(reference="urlSecretRef: {name: db, key: dsn}"), told())


def test_fields_for_kubernetes_are_told() -> None:
    assert list(unused_fields(manifests().pools[0])) == [
        "with: spec.worker.image is for Kubernetes and not used on one machine",
        "with: spec.worker.podTemplate is for Kubernetes and not used on one machine",
    ]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"WORKERPOOL_URL": "amqp://mq/v"}, "amqp://mq/v"),
        ({"RABBITMQ_URL": "amqp://old/v"}, "amqp://old/v"),
        ({"RABBITMQ_URL": "amqp://old/v", "WORKERPOOL_URL": "postgresql://db/q"}, "amqp://old/v"),
        ({"WORKERPOOL_RABBITMQ_HOST": "mq", "RABBITMQ_URL": "amqp://old/v"}, "amqp://guest:guest@mq:5672/%2F"),
        ({"WORKERPOOL_URL": "postgresql://db/q", "WORKERPOOL_RABBITMQ_HOST": "mq"}, "amqp://guest:guest@mq:5672/%2F"),
    ],
)
def test_a_broker_of_the_environment(environ: dict[str, str], url: str) -> None:
    assert endpoint(sources_of(broker(), told(**environ))) == Endpoint(url)


def test_a_broker_by_its_url_in_a_secret() -> None:
    found = sources_of(broker("urlSecretRef: {name: s}", "s: {url: 'amqp://u:p@mq/v'}"), told(RABBITMQ_URL="amqp://x"))
    assert endpoint(found) == Endpoint("amqp://u:p@mq/v")
    away = sources_of(broker("urlSecretRef: {name: s}"), told(WORKERPOOL_URL="amqp://x"))
    assert endpoint(away) == Endpoint("amqp://x")
    assert away.notices == ("mq: Secret s is not in the files; WORKERPOOL_URL is used",)


def test_a_broker_by_its_parts() -> None:
    fields = (
        "host: mq, vhost: a/b, credentialsSecretRef: {name: s}, tls: {caSecretRef: {name: c}}, "
        "management: {urlSecretRef: {name: m}}"
    )
    secrets = ("s: {username: u, password: 'p/'}", f"c: {{ca.crt: '{PEM}'}}", "m: {url: 'http://mq:1'}")
    found = sources_of(broker(fields, *secrets), told(WORKERPOOL_URL="amqp://x"))
    assert endpoint(found) == Endpoint("amqps://u:p%2F@mq:5671/a%2Fb", authority=PEM, management="http://mq:1")
    assert found.notices == ()


def test_parts_whose_secrets_are_not_there() -> None:
    fields = (
        "host: mq, credentialsSecretRef: {name: s}, tls: {caSecretRef: {name: c}}, "
        "management: {urlSecretRef: {name: m}}"
    )
    environ = {"WORKERPOOL_RABBITMQ_USERNAME": "me", "WORKERPOOL_RABBITMQ_MANAGEMENT_URL": "http://mq:2"}
    found = sources_of(broker(fields), told(authority=PEM, **environ))
    assert endpoint(found) == Endpoint("amqps://me:guest@mq:5671/%2F", authority=PEM, management="http://mq:2")
    assert set(found.notices) == {
        "mq: Secret s is not in the files; WORKERPOOL_RABBITMQ_USERNAME or guest is used",
        "mq: Secret c is not in the files; WORKERPOOL_RABBITMQ_CA_FILE is used, or what this machine trusts",
        "mq: Secret m is not in the files; WORKERPOOL_RABBITMQ_MANAGEMENT_URL is used, or the usual port",
    }


def test_a_broker_from_outside_is_another_server() -> None:
    """What the manifest says of TLS and of the management API is about the one in production."""
    fields = "host: mq, tls: {}, management: {url: 'http://mq:1'}"
    assert endpoint(sources_of(broker(fields), told("amqp://localhost"))) == Endpoint("amqp://localhost")
    said = sources_of(broker(fields), told(WORKERPOOL_RABBITMQ_MANAGEMENT_URL="http://other:2"))
    assert endpoint(said) == Endpoint("amqps://guest:guest@mq:5671/%2F", management="http://mq:1")


def test_the_keys_of_an_archive_go_to_its_runners() -> None:
    worker = "{builtin: s3-archive, archive: {credentialsSecretRef: {name: s3}}}"
    secret = "s3: {accessKey: GK1, secretKey: hunter2}"
    found = sources_of(broker("", secret, worker=worker), told("amqp://mq"))
    assert found.by_pool["mq"].variables == {"WORKERPOOL_S3_ACCESS_KEY": "GK1", "WORKERPOOL_S3_SECRET_KEY": "hunter2"}
    assert "hunter2" not in repr(found)
    away = sources_of(broker("", worker=worker), told("amqp://mq"))
    assert away.by_pool["mq"].variables == {}
    assert away.notices == ("mq: Secret s3 is not in the files; what the environment says of the S3 server is used",)


@pytest.mark.parametrize(
    ("fields", "known", "words"),
    [
        (
            "",
            told(),
            "mq: spec.source.rabbitmq: nobody says where the broker is, and none is embedded; give --url",
        ),
        ("", told(WORKERPOOL_URL="postgresql://db/q"), "nobody says where the broker is"),
        ("urlSecretRef: {name: s}", told(), "or put the Secret s into a file that -f names"),
        ("", told("http://app:hunter2@mq"), "--url: http:// is no server of queues; write amqp://… or postgresql://…"),
        ("", told("postgresql://db/q"), "--url: leads to Postgres, but no pool has a source there; correct the URL"),
        ("", told("amqp://u:hunter2@mq/a/b"), "mq: --url: has more than one / after the host"),
        ("", told(RABBITMQ_URL="amqp://u:hunter2@/v"), "mq: RABBITMQ_URL: names no host"),
    ],
)
def test_a_broker_that_cannot_be_used_is_told_with_the_cure(fields: str, known: Told, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        sources_of(broker(fields), known)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "secret", "outside", "origin"),
    [
        ("", (), told("amqp://a"), "--url"),
        ("", (), told(WORKERPOOL_URL="amqp://a"), "WORKERPOOL_URL"),
        ("urlSecretRef: {name: mq}", ("mq: {url: 'amqp://a'}",), told(), "the Secret mq"),
        ("host: mq", (), told(), ""),
    ],
)
def test_it_is_known_who_named_a_broker(fields: str, secret: tuple[str, ...], outside: Told, origin: str) -> None:
    found = endpoint(sources_of(broker(fields, *secret), outside))
    assert found is not None
    assert found.origin == origin
