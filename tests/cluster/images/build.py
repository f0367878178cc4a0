"""The images of the cluster tests: built from this checkout, saved as an archive, built again after a change only."""

import fcntl
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images.base import Recipe, ensure_base, recipe
from tests.cluster.images.daemon import docker_daemon
from tests.cluster.images.docker import Docker
from tests.cluster.images.places import ROOT, cache, files_below, key_of, say

ENV_BASE_IMAGE = "WORKERPOOL_TEST_BASE_IMAGE"
"""Names a base image of a registry, for instance the Dockerfiles' default; unset, one is made without a registry."""
COMMANDS = (
    "docker build --file Dockerfile.runner --tag workerpool/runner .",
    "docker build --file Dockerfile.operator --tag workerpool/operator .",
    "docker build --tag workerpool/example-ast examples/ast",
)
"""The commands of docs/images.md. Here they run with another tag, and with what a machine without a registry needs."""
OPERATOR = "workerpool/operator:test"
RUNNER = "workerpool/runner:test"
EXAMPLE = "workerpool/example-ast:test"
REVISION = "0123456789abcdef"
"""What these images say about their origin: the real revision would make every commit a new image."""
INPUTS = (
    ".dockerignore", "Dockerfile.operator", "Dockerfile.runner", "LICENSE", "README.md", "contract", "operator",
    "pyproject.toml", "runner", "uv.lock", "examples/ast/Dockerfile", "examples/ast/workers.py",
)  # fmt: skip
PASSED_ON = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
BUILD_SECONDS = 900
KEPT = 3
"""Archives, of half a gigabyte each, that stay in the cache."""
CANARY = "# workerpool-build-secret-canary"
"""A comment in the certificates that builds are given: no image may contain it."""


@dataclass(frozen=True)
class Image:
    """``ref``: its name. ``archive``: what `ctr images import` and `docker load` take; shared by all images."""

    ref: str
    archive: Path


@dataclass(frozen=True)
class Images:
    """The images of one state of the sources, and the archive that holds them all (they share their layers)."""

    archive: Path
    key: str

    @property
    def operator(self) -> Image:
        """The operator."""
        return Image(OPERATOR, self.archive)

    @property
    def runner(self) -> Image:
        """The runner without any handlers."""
        return Image(RUNNER, self.archive)

    @property
    def example(self) -> Image:
        """The runner with the handlers of examples/ast."""
        return Image(EXAMPLE, self.archive)


def ensure_images() -> Images:
    """The images of this checkout, built if needed: minutes from nothing, at once when nothing changed.

    A build needs the package registries: call this before entering a network namespace. Raises DockerError.
    """
    base = os.environ.get(ENV_BASE_IMAGE) or recipe()
    origin = base if isinstance(base, str) else base.key
    key = key_of(files_below(ROOT / name for name in INPUTS), origin, REVISION)
    images = Images(cache("images") / f"{key}.tar", key)
    with (cache("images") / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not images.archive.exists():
            with docker_daemon() as docker:
                _build(docker, base, images)
    return images


def load(docker: Docker, images: Images) -> None:
    """Makes sure that ``docker`` has ``images``, for tests that run containers without a cluster."""
    if not all(docker.has(ref, images.key) for ref in (OPERATOR, RUNNER, EXAMPLE)):
        docker.run("load", "--input", images.archive, seconds=BUILD_SECONDS)


def _build(docker: Docker, base: str | Recipe, images: Images) -> None:
    begin = time.monotonic()
    name = base if isinstance(base, str) else ensure_base(docker, base)
    with _certificates() as secret:
        flags = ["--network=host", *secret, "--label", f"workerpool.recipe={images.key}"]
        values = {"BASE_IMAGE": name, "RUNNER_IMAGE": RUNNER, "REVISION": REVISION}
        flags += [word for key, value in values.items() for word in ("--build-arg", f"{key}={value}")]
        flags += [word for variable in PASSED_ON if variable in os.environ for word in ("--build-arg", variable)]
        for command in COMMANDS:
            _build_one(docker, command, flags)
    say("saving the archive")
    partial = images.archive.with_suffix(".partial")
    docker.run("save", "--output", partial, OPERATOR, RUNNER, EXAMPLE, seconds=BUILD_SECONDS)
    partial.rename(images.archive)
    _forget_old(images.archive.parent)
    docker.run("image", "prune", "--force", "--filter", "label=workerpool.recipe")
    say(f"built in {time.monotonic() - begin:.0f} s: {images.archive}")


def _forget_old(folder: Path) -> None:
    """Keeps the newest archives: another test run may still be using one."""
    newest_first = sorted(folder.glob("*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in newest_first[KEPT:]:
        old.unlink()


def _build_one(docker: Docker, command: str, flags: list[str]) -> None:
    _, verb, *words = shlex.split(command)
    tag = words.index("--tag") + 1
    words[tag] += ":test"
    say(f"building {words[tag]}")
    docker.run(verb, "--quiet", *flags, *words, seconds=BUILD_SECONDS)


@contextmanager
def _certificates() -> Iterator[list[str]]:
    """The flags that lend the machine's certificates to a build, marked with the canary; none where there are none."""
    bundle = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    if not bundle.is_file():
        yield []
        return
    folder = Path(tempfile.mkdtemp(prefix="workerpool-build-"))
    try:
        (folder / "ca").write_text(f"{CANARY}\n{bundle.read_text()}")
        yield ["--secret", f"id=ca,src={folder / 'ca'}"]
    finally:
        shutil.rmtree(folder)
