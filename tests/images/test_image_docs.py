"""What docs/images.md tells users to do with the images."""

import os
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.cluster.images.build import RUNNER
from tests.cluster.images.docker import Docker
from tests.cluster.images.places import ROOT
from tests.e2e.executable_docs import blocks
from tests.images.containers import output
from tests.support.patience import until
from tests.support.ports import free_port
from workerpool_contract.names import ENV_URL
from workerpool_operator.manifest import load

PAGE = ROOT / "docs" / "images.md"
RUN = r"""
docker run --rm --read-only --tmpfs /tmp --volume "$PWD/handlers:/handlers:ro" --env PYTHONPATH=/handlers \
--env WORKERPOOL_APP=shop --env WORKERPOOL_QUEUE=orders --env WORKERPOOL_URL workerpool/runner
"""
HANDLERS = """
from workerpool import worker

@worker(topic="orders")
def ship(order: dict) -> dict:
    return {"shipped": order["id"]}
"""
BASE_WITH_WHEEL = f"""
FROM {RUNNER}
COPY *.whl /wheels/
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
"""
WITH_WHEEL = "workerpool/runner-with-wheel:test"
SHOP = "workerpool/shop:test"
SECONDS = 60.0

# Whichever test comes first builds the images, where the run has not done that before.
pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]


@contextmanager
def _typed(docker: Docker, command: str, folder: Path, url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The command as a reader types it; what its container needs on top for this test comes from a wrapper."""
    wrapper = folder / "bin" / "docker"
    wrapper.parent.mkdir()
    name = f"workerpool-docs-{os.getpid()}"
    extra = (
        f"--name={name} --network=host --env=WORKERPOOL_PROBE_PORT={free_port()} --env=WORKERPOOL_PROBE_HOST=127.0.0.1"
    )
    wrapper.write_text(f'#!/bin/sh\nshift\nexec {docker.program} run {extra} "$@"\n')
    wrapper.chmod(0o755)
    environment = {**docker.environment, "PATH": f"{wrapper.parent}:{os.environ['PATH']}", ENV_URL: url}
    text = command.replace("workerpool/runner", RUNNER)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-euc", text], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
        docker.run("kill", "--signal=TERM", name)
        assert process.wait(SECONDS) == 0, (folder / "log").read_text()
    finally:
        if process.poll() is None:
            docker.run("rm", "--force", name)
            process.wait(SECONDS)


def test_handlers_on_a_volume_do_their_jobs(docker: Docker, database: str, tmp_path: Path) -> None:
    handlers = tmp_path / "handlers"
    handlers.mkdir()
    (handlers / "shop.py").write_text(HANDLERS)
    flags = ("--rm", "--network=host", f"--env={ENV_URL}={database}")
    docker.run("run", *flags, RUNNER, "enqueue", "orders", '{"id": 7}')
    with _typed(docker, RUN, tmp_path, database), psycopg.connect(database, autocommit=True) as connection:
        query = "select result from workerpool.history where state = 'completed'"
        done = until(lambda: connection.execute(query).fetchone(), SECONDS, (tmp_path / "log").read_text)
    assert done == ({"shipped": 7},)


def test_packages_are_installed_beside_workerpools_own(docker: Docker, tmp_path: Path) -> None:
    _write_wheel(tmp_path)
    (tmp_path / "shop.py").write_text(HANDLERS)
    (tmp_path / "requirements.txt").write_text("parcel==1.0\n")
    (tmp_path / "base").write_text(BASE_WITH_WHEEL)
    [recipe] = [it.body for it in blocks(PAGE) if it.language == "dockerfile" and "requirements.txt" in it.body]
    (tmp_path / "shop").write_text(recipe.replace("workerpool/runner", WITH_WHEEL))
    for file, tag in (("base", WITH_WHEEL), ("shop", SHOP)):
        docker.run("build", "--quiet", "--network=none", "--tag", tag, "--file", tmp_path / file, tmp_path, seconds=240)
    assert "ship" in output(docker, SHOP, "workerpool", "workers")
    find = "import importlib.util as it, parcel; print(parcel.SIZE, it.find_spec('pip'))"
    assert output(docker, SHOP, "python", "-c", find).split() == ["3", "None"]
    docker.run("image", "rm", "--force", SHOP, WITH_WHEEL)


def test_example_in_the_docs_is_the_one_that_is_built() -> None:
    recipe = (ROOT / "examples" / "ast" / "Dockerfile").read_text()
    assert any(it.language == "dockerfile" and it.body in recipe for it in blocks(PAGE))


def test_manifest_of_the_docs_can_be_used() -> None:
    [manifest] = [it.body for it in blocks(PAGE) if it.language == "yaml"]
    [pool] = load({"images.md": manifest}).pools
    assert pool.metadata.name == "shop"


def _write_wheel(folder: Path) -> None:
    """The smallest package that pip installs."""
    with zipfile.ZipFile(folder / "parcel-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("parcel.py", "SIZE = 3\n")
        wheel.writestr("parcel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n")
        wheel.writestr("parcel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("parcel-1.0.dist-info/RECORD", "")
