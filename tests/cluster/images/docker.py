"""The docker command line: which one can build, and how it is called."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images.places import ROOT

BUILT_IN_BUILDKIT_UNTIL = 23
"""Clients from this major version on build with a plugin (buildx) that distributions package apart."""


class DockerError(RuntimeError):
    """A docker command failed; the message ends with what it wrote."""


@dataclass(frozen=True)
class Docker:
    """A docker client. ``host``: address of the daemon, None for the one that the client finds by itself."""

    program: str
    host: str | None = None

    def run(self, *arguments: str | Path, seconds: float = 120) -> str:
        """What ``docker ARGUMENTS`` prints; raises DockerError when it fails, TimeoutExpired after ``seconds``."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            words = " ".join(map(str, arguments))
            raise DockerError(
                f"docker {words}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        return done.stdout

    def answers(self) -> bool:
        """Whether a daemon answers."""
        try:
            self.run("version", "--format", "{{.Server.Version}}", seconds=20)
        except (DockerError, subprocess.TimeoutExpired):
            return False
        return True

    def has(self, image: str, recipe: str) -> bool:
        """Whether ``image`` is there and was made by ``recipe`` (its label workerpool.recipe)."""
        try:
            found = self.run("image", "inspect", "--format", '{{index .Config.Labels "workerpool.recipe"}}', image)
        except DockerError:
            return False
        return found.strip() == recipe

    def command(self, *arguments: str | Path) -> list[str]:
        """The argument vector of ``docker ARGUMENTS``."""
        return [self.program, *map(str, arguments)]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of such a call."""
        host = {} if self.host is None else {"DOCKER_HOST": self.host}
        return {**os.environ, **host, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}


def find_client() -> Docker:
    """The first docker client of this machine that can build; raises DockerError when there is none."""
    for program in _programs():
        if _builds(program):
            return Docker(program)
    raise DockerError("no docker client that can build; cure: apt-get install docker.io, or install the buildx plugin")


def _programs() -> Iterator[str]:
    for folder in [*os.environ.get("PATH", "").split(":"), "/usr/bin"]:
        if program := shutil.which("docker", path=folder):
            yield program


def _builds(program: str) -> bool:
    """Whether ``program`` has BuildKit: as a plugin, or inside because it is old enough."""
    version = re.search(r"version (\d+)\.", _output(program, "--version"))
    if version is not None and int(version[1]) < BUILT_IN_BUILDKIT_UNTIL:
        return True
    return "buildx" in _output(program, "buildx", "version")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return "" if done.returncode else done.stdout
