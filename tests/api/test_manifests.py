"""The same manifests through `kubectl apply` and `workerpool up`: the same verdicts, the field named."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api import table
from tests.api.bad import BAD
from tests.api.good import GOOD
from tests.support.apiserver import ApiServer
from workerpool_contract.spec import WorkerPool
from workerpool_operator.manifest import ManifestError, load

TEXTS = table.texts()
# Where one refusal ends and the next begins in what kubectl prints about a folder.
BEGINNINGS = (
    'unable to decode "', 'error validating "', "error parsing ", "resource mapping not found", "Error from server",
    "error when retrieving",
)  # fmt: skip


@dataclass(frozen=True)
class Verdicts:
    """What `kubectl apply` did with every case. ``stored``: pool name -> object. ``refused``: slug -> message."""

    stored: Mapping[str, Any]
    refused: Mapping[str, str]


@pytest.fixture(scope="module")
def verdicts(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """The whole table applied by one command, in a namespace of its own."""
    folder = tmp_path_factory.mktemp("manifests")
    table.write(folder)
    with api_server.namespace("table") as namespace:
        command = [str(api_server.kubectl_program), f"--kubeconfig={api_server.kubeconfig}", f"--namespace={namespace}"]
        done = subprocess.run(
            [*command, "apply", f"--filename={folder}"], capture_output=True, text=True, timeout=120, check=False
        )
        pools = api_server.json("get", "workerpools", f"--namespace={namespace}")["items"]
    return Verdicts({pool["metadata"]["name"]: pool for pool in pools}, _by_file(done.stderr))


def _by_file(output: str) -> dict[str, str]:
    """Kubectl's refusals by the file that they speak of."""
    messages: dict[str, str] = {}
    for part in re.split(f"(?={'|'.join(map(re.escape, BEGINNINGS))})", output):
        if found := re.search(r"/([a-z0-9-]+)\.yaml", part):
            messages[found[1]] = messages.get(found[1], "") + part
    return messages


def test_the_table_is_large_and_every_case_is_another() -> None:
    assert len(TEXTS) >= 120
    assert len({table.slug(title) for title in TEXTS}) == len(TEXTS) == len(GOOD) + len(BAD)


@pytest.mark.kubernetes
@pytest.mark.parametrize("title", GOOD)
def test_good_manifests_are_stored_as_they_are_meant(verdicts: Verdicts, title: str) -> None:
    """What the API server keeps means to the operator what the file means to `workerpool up`."""
    assert table.slug(title) not in verdicts.refused, verdicts.refused[table.slug(title)]
    [local] = load({"pool.yaml": TEXTS[title]}).pools
    stored = WorkerPool.model_validate(verdicts.stored[local.metadata.name])
    assert stored.spec == local.spec
    assert stored.metadata.labels == local.metadata.labels
    assert local.status is None
    assert stored.status is None


@pytest.mark.kubernetes
@pytest.mark.parametrize("title", BAD)
def test_bad_manifests_are_refused_by_the_api_server(verdicts: Verdicts, title: str) -> None:
    field, _ = BAD[title]
    message = verdicts.refused.get(table.slug(title), "accepted")
    assert field in message.replace(table.slug(title), "")


@pytest.mark.parametrize("title", BAD)
def test_bad_manifests_are_refused_on_one_machine(title: str) -> None:
    """By the reader of `workerpool up`, with file and line before the field."""
    field, _ = BAD[title]
    with pytest.raises(ManifestError) as refused:
        load({"pool.yaml": TEXTS[title]})
    assert all(re.match(r"pool\.yaml:\d+: ", line) for line in refused.value.problems)
    assert any(field in line for line in refused.value.problems), refused.value.problems


def test_the_command_refuses_the_whole_table_before_it_starts_anything(tmp_path: Path) -> None:
    """The installed command reads the files as the tests above do: every bad file is named, nothing else happens."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    table.write(folder)
    files = [folder / f"{table.slug(title)}.yaml" for title in BAD]
    command = ["workerpool", "up", "--no-tui", *(part for path in files for part in ("-f", str(path)))]
    environment = {"PATH": _path(), "HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert {path for path in files if f"{path}:" not in done.stderr} == set()
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"manifests"}


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.kubernetes
def test_messages_of_rules_hold_values_and_cure(verdicts: Verdicts) -> None:
    """A rule between fields tells both values and what to write instead."""
    refused = {title: verdicts.refused[table.slug(title)] for title in BAD}
    expected = {
        "minimum above maximum": "minReplicas 5 is above maxReplicas 2; lower minReplicas or raise maxReplicas",
        "minimum above the default maximum": "minReplicas 11 is above maxReplicas 10; lower",
        "a fallback above the maximum": "fallback.replicas 11 is above maxReplicas 10; lower fallback.replicas",
        "a drain that cuts off jobs": "drainTimeoutSeconds 59 is below jobTimeoutSeconds 60: a drain would cut off",
        "a first delay above the longest": "initialDelaySeconds 9 is above maxDelaySeconds 3; lower one",
        "a grace period of its own": "set spec.worker.drainTimeoutSeconds instead",
        "a pause at no number": "replicas is required with mode HoldAt",
        "an empty source": "set postgres or rabbitmq",
        "two ways to a broker": "urlSecretRef and host exclude each other; remove one",
        "a vhost beside a URL": "vhost belongs to host; set host, or write it into the URL",
        "a queue whose topic is any topic": "has # for a word",
        "no app": "set app to your module, or builtin to s3-archive",
        "a builtin archive without an archive": "archive is required with builtin s3-archive",
        "a name with a dot": "choose a shorter name without dots",
    }
    assert {title: words for title, words in expected.items() if words not in refused[title]} == {}


@pytest.mark.kubernetes
def test_nulls_in_a_pod_template_stay(api_server: ApiServer, namespace: str) -> None:
    """They remove what the operator would generate; plain `kubectl apply` would drop them before they are sent."""
    spec = {"topologySpreadConstraints": None, "affinity": None, "containers": [{"name": "runner", "command": None}]}
    text = table.manifest("nulls", f"worker: {{app: a, podTemplate: {{spec: {json.dumps(spec)}}}}}")
    api_server.apply(text, namespace)
    stored = WorkerPool.model_validate(api_server.json("get", "wp", "nulls", f"--namespace={namespace}"))
    assert stored.spec.worker.pod_template == {"spec": spec}
    assert load({"pool.yaml": text}).pools[0].spec == stored.spec


@pytest.mark.kubernetes
def test_a_field_twice_is_seen_on_one_machine_only(api_server: ApiServer, namespace: str) -> None:
    """Kubectl itself keeps the last of both without a word, before the API server could refuse."""
    text = table.manifest("twice", "scaling: {maxReplicas: 5, maxReplicas: 6}")
    with pytest.raises(ManifestError, match="field 'maxReplicas' is there twice"):
        load({"pool.yaml": text})
    created = api_server.kubectl(
        "create", "--filename=-", "--dry-run=server", f"--namespace={namespace}", "-o", "json", stdin=text
    )
    assert json.loads(created)["spec"]["scaling"] == {"maxReplicas": 6}
