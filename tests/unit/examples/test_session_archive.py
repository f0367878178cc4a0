"""examples/session-archive: its compose file, manifest, Secrets and producer say the same."""

import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from workerpool_contract.archive import (
    ARCHIVE_VARIABLES,
    ArchiveSettings,
    archive_from_environment,
    archive_settings_of,
    archive_to_environment,
)
from workerpool_contract.environment import VARIABLES, from_environment, settings_of
from workerpool_contract.spec import WorkerPool

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "session-archive"
Body = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Body:
    loaded: Body = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(compose: Body) -> Mapping[str, Body]:
    found: Mapping[str, Body] = compose["services"]
    return found


@pytest.fixture(scope="module")
def pool() -> WorkerPool:
    return WorkerPool.model_validate(yaml.safe_load((EXAMPLE / "workerpool.yaml").read_text()))


@pytest.fixture(scope="module")
def secrets() -> dict[str, dict[str, str]]:
    documents = yaml.safe_load_all((EXAMPLE / "secrets.yaml").read_text())
    return {document["metadata"]["name"]: document["stringData"] for document in documents}


def from_secrets(pool: WorkerPool, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The variables that a runner of the manifest gets from the Secrets."""
    return {use.variable: secrets[use.name][use.key] for use in pool.spec.secret_uses if use.variable}


def archive_of_manifest(pool: WorkerPool, secrets: Mapping[str, Mapping[str, str]]) -> ArchiveSettings:
    assert pool.spec.worker.archive
    told = archive_to_environment(archive_settings_of(pool.spec.worker.archive))
    return archive_from_environment(told | from_secrets(pool, secrets))


def test_worker_of_the_compose_file_has_the_settings_of_the_manifest(
    services: Mapping[str, Body], pool: WorkerPool, secrets: dict[str, dict[str, str]]
) -> None:
    told = services["worker"]["environment"]
    given, wanted = from_environment(told), settings_of(pool.metadata.name, pool.spec, "")
    assert services["worker"]["command"] == ["run", wanted.builtin]
    fields = (
        "queue",
        "concurrency",
        "job_timeout",
        "effective_drain_timeout",
        "max_retries",
        "rabbitmq_delivery_limit",
    )
    assert {name: getattr(given, name) for name in fields} == {name: getattr(wanted, name) for name in fields}
    archive = archive_of_manifest(pool, secrets)
    assert archive_from_environment(told | {"WORKERPOOL_S3_ENDPOINT": archive.endpoint}) == archive


def test_every_variable_of_the_worker_is_one_that_a_runner_reads(services: Mapping[str, Body]) -> None:
    known = {variable.name for variable in (*VARIABLES, *ARCHIVE_VARIABLES)}
    assert set(services["worker"]["environment"]) <= known


def test_everybody_uses_the_addresses_and_passwords_of_the_compose_file(
    services: Mapping[str, Body], pool: WorkerPool, secrets: dict[str, dict[str, str]]
) -> None:
    broker, s3, told = services["rabbitmq"], services["s3"], services["worker"]["environment"]
    user, password = (broker["environment"][f"RABBITMQ_DEFAULT_{part}"] for part in ("USER", "PASS"))
    producer = runpy.run_path(str(EXAMPLE / "producer.py"))
    assert told["WORKERPOOL_URL"] == f"amqp://{user}:{password}@rabbitmq:5672/"
    assert secrets["rabbitmq"]["url"] == producer["URL"] == f"amqp://{user}:{password}@localhost:5672/"
    assert producer["QUEUE"] == pool.spec.source.queue
    archive = archive_of_manifest(pool, secrets)
    keys = [s3["environment"][name] for name in ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY")]
    assert [archive.access_key, archive.secret_key] == keys
    port = s3["command"][s3["command"].index("--port") + 1]
    assert archive.endpoint == f"http://localhost{port}"
    assert told["WORKERPOOL_S3_ENDPOINT"] == f"http://s3{port}"
    published = {name: [text.rpartition(":")[0] for text in service["ports"]] for name, service in services.items()}
    assert published["s3"] == [f"127.0.0.1{port}"]
    assert f"127.0.0.1:{urlsplit(producer['URL']).port}" in published["rabbitmq"]


def test_the_worker_gets_as_long_to_stop_as_it_may_take(services: Mapping[str, Body], pool: WorkerPool) -> None:
    grace = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > pool.spec.worker.effective_drain_timeout_seconds


def test_compose_file_is_whole(compose: Body, services: Mapping[str, Body]) -> None:
    for service in services.values():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"])
        assert set(service.get("depends_on", {})) <= set(services)
        assert all(text.startswith("127.0.0.1:") for text in service["ports"]), "reachable from other machines"
        assert re.search(r":[v\d]", service["image"]) or "build" in service, "an image without a version"
    context = EXAMPLE / services["worker"]["build"]["context"]
    assert (context / services["worker"]["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile.runner"


def test_s3_server_is_the_one_of_the_tests(services: Mapping[str, Body]) -> None:
    module = (ROOT / "tests" / "cluster" / "modules" / "s3" / "go.mod").read_text()
    name, version = services["s3"]["image"].split(":")
    assert f"github.com/{name} {version} " in module
