"""What is in the images, and what must never be."""

import gzip
import json
import tarfile
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.images.build import CANARY, EXAMPLE, OPERATOR, REVISION, RUNNER, Images
from tests.cluster.images.docker import Docker
from tests.cluster.images.places import ROOT
from tests.images.containers import RESTRICTED, output

ALL = (OPERATOR, RUNNER, EXAMPLE)
ENTRYPOINTS = {
    OPERATOR: ["python", "-m", "workerpool_operator"],
    RUNNER: ["dumb-init", "--single-child", "--", "workerpool"],
    EXAMPLE: ["dumb-init", "--single-child", "--", "workerpool"],
}
NEEDED = {
    OPERATOR: "aio_pika, aiohttp, asyncpg, kopf, kubernetes, prometheus_client, workerpool_operator, yaml",
    RUNNER: "aio_pika, aioboto3, asyncpg, opentelemetry.sdk, uvloop, workerpool.cli.run",
}
LARGEST = 300_000_000
"""Bytes that an image may add to its base."""
COMPILED = """
import importlib.util, os, sys
import {modules}
files = [(name, module.__spec__) for name, module in list(sys.modules.items()) if getattr(module, "__spec__", None)]
print(*(name for name, spec in files if spec.cached and not os.path.exists(spec.cached)))
"""

# Whichever test comes first builds the images, where the run has not done that before.
pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]


def _config(docker: Docker, image: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(docker.run("image", "inspect", "--format", "{{json .Config}}", image))
    return config


@pytest.mark.parametrize("image", ALL)
def test_image_runs_as_a_numeric_user_who_is_not_root(docker: Docker, image: str) -> None:
    assert _config(docker, image)["User"] == "65532:65532"
    assert output(docker, image, "id", "-u").strip() == "65532"


@pytest.mark.parametrize("image", ALL)
def test_no_shell_stands_before_the_program(docker: Docker, image: str) -> None:
    assert _config(docker, image)["Entrypoint"] == ENTRYPOINTS[image]


@pytest.mark.parametrize("image", ALL)
def test_labels_say_what_it_is(docker: Docker, image: str) -> None:
    labels = _config(docker, image)["Labels"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == project["version"]
    assert labels[f"{prefix}licenses"] == project["license"]
    assert labels[f"{prefix}revision"] == REVISION
    assert labels[f"{prefix}title"].startswith("WorkerPool ")
    assert labels[f"{prefix}description"]


@pytest.mark.parametrize("image", [OPERATOR, RUNNER])
def test_image_is_small(docker: Docker, image: str) -> None:
    added = output(docker, image, "du", "--summarize", "--bytes", "/opt/workerpool")
    assert int(added.split()[0]) < LARGEST


@pytest.mark.parametrize("image", [OPERATOR, RUNNER])
def test_nothing_in_it_installs_or_compiles(docker: Docker, image: str) -> None:
    tools = "for tool in pip pip3 uv gcc cc make git hatchling; do command -v $tool; done; true"
    assert output(docker, image, "sh", "-c", tools) == ""
    for python in ("python", "python3"):
        find = "import importlib.util as it; print(it.find_spec('pip'), it.find_spec('hatchling'))"
        assert output(docker, image, python, "-c", find).split() == ["None", "None"]


@pytest.mark.parametrize("image", [OPERATOR, RUNNER])
def test_everything_it_imports_is_there_and_compiled(docker: Docker, image: str) -> None:
    assert output(docker, image, "python", "-c", COMPILED.format(modules=NEEDED[image])).split() == []


def test_operator_starts_on_a_read_only_file_system(docker: Docker) -> None:
    assert "Kubernetes" in docker.run("run", "--rm", *RESTRICTED, OPERATOR, "--help")


def test_no_layer_and_no_history_holds_the_build_secret(docker: Docker, images: Images) -> None:
    found: dict[bytes, int] = {b"class RunnerSettings": 0, CANARY.encode(): 0}
    for content in _layer_files(images):
        for text in found:
            found[text] += content.count(text)
    # The first one proves that the search finds what is there.
    assert found[b"class RunnerSettings"] > 0
    assert found[CANARY.encode()] == 0
    for image in ALL:
        history = docker.run("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
        assert "dumb-init" in history or image == OPERATOR
        assert "CERTIFICATE" not in history
        assert "canary" not in history


def _layer_files(images: Images) -> Iterator[bytes]:
    """The content of every file of every layer of the archive."""
    with tarfile.open(images.archive) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            is_zipped = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            try:
                with tarfile.open(fileobj=gzip.open(stream) if is_zipped else stream) as layer:
                    yield from (file.read() for entry in layer if entry.isfile() and (file := layer.extractfile(entry)))
            except tarfile.ReadError:
                continue
