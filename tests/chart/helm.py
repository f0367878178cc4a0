"""Helm, as a user calls it, with a home of its own: nothing of the person's configuration is read or changed."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.architecture.source import ROOT
from tests.cluster.binaries import binary_dir
from tests.cluster.netns import outside

CHART: Final = ROOT / "helm" / "workerpool"
RELEASE: Final = "workerpool"
NAMESPACE: Final = "workerpool-system"
VERSIONS: Final = (3, 4)
KUBERNETES: Final = "1.34.3"
"""What rendering without a cluster pretends to talk to."""

Objects = list[dict[str, Any]]


class HelmFailed(Exception):
    """A helm command failed; the message holds the command and what it printed."""


@dataclass(frozen=True)
class Helm:
    """One version of Helm. ``home``: a scratch folder for its caches. ``environment``: further variables."""

    program: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, timeout: float = 60) -> str:
        """What the command prints; raises HelmFailed."""
        places = {f"HELM_{name}_HOME": str(self.home) for name in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [str(self.program), *arguments],
            env={**os.environ, **places, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise HelmFailed(f"helm {' '.join(arguments)}: exit code {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def render(self, *arguments: str) -> Objects:
        """The objects that an installation with these further arguments would create, in order of creation."""
        text = self(
            *("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES}"), *arguments
        )
        return [document for document in yaml.safe_load_all(text) if document]


def program(version: int) -> Path:
    """The helm of major ``version``, built first where the cache has none. Raises Unavailable."""
    with outside():
        return binary_dir(f"helm{version}") / "helm"
