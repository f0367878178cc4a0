"""Which database a pool uses on this machine."""

import pytest

from workerpool_operator.manifest import Manifests, load
from workerpool_operator.up.urls import UrlError, unused_fields, urls_of

POOL = """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: NAME}
spec:
  source: {postgres: {queue: q, REF}}
  worker: {app: a, image: registry.example/app:1, podTemplate: {spec: {}}}
---
"""
SECRET = "kind: Secret\nmetadata: {name: db}\nstringData: {url: 'postgresql://secret/x'}\n"


def manifests(*, reference: str = "urlSecretRef: {name: db}", secret: str = SECRET) -> Manifests:
    """A pool with a reference and one without."""
    first = POOL.replace("NAME", "with").replace("REF", reference)
    return load({"f": first + POOL.replace("NAME", "without").replace(", REF", "") + secret})


def test_the_secret_in_the_files_comes_before_the_environment() -> None:
    found = urls_of(manifests(), None, "postgresql://environment/x")
    assert found.by_pool == {"with": "postgresql://secret/x", "without": "postgresql://environment/x"}
    assert not found.embedded
    assert "secret" not in repr(found)


def test_the_option_comes_before_everything() -> None:
    assert set(urls_of(manifests(), "postgresql://option/x", "e").by_pool.values()) == {"postgresql://option/x"}


def test_without_secret_and_environment_the_embedded_database_is_used_with_a_notice() -> None:
    found = urls_of(manifests(secret=""), None, None)
    assert found.embedded
    assert found.notices == ("with: Secret db is not in the files; the embedded database is used",)


def test_a_secret_without_the_key_is_a_mistake() -> None:
    with pytest.raises(
        UrlError, match=r"with: spec.source.postgres.urlSecretRef.key: Secret db has no key 'dsn' .*it has: url"
    ):
        urls_of(manifests(reference="urlSecretRef: {name: db, key: dsn}"), None, None)


def test_fields_for_kubernetes_are_told() -> None:
    assert list(unused_fields(manifests().pools[0])) == [
        "with: spec.worker.image is for Kubernetes and not used on one machine",
        "with: spec.worker.podTemplate is for Kubernetes and not used on one machine",
    ]
