"""Which cluster the tests get: WORKERPOOL_TEST_CLUSTER says ``local``, ``kind`` or ``existing``.

Without it: ``local`` for root on Linux and where kind is missing, else ``kind``; never ``existing``.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.cluster.api import Cluster, Unavailable
from tests.cluster.binaries import binary_dir
from tests.cluster.existing import existing
from tests.cluster.kind import kind
from tests.cluster.local import starter
from tests.cluster.names import ENV_ATTACH, ENV_CI, ENV_PROVIDER
from tests.cluster.netns import inside


@contextmanager
def provided() -> Iterator[Cluster]:
    """The cluster for this test run; what was started for it ends with the block. Raises Unavailable."""
    provider = chosen()
    match provider:
        case "local":
            with _local() as cluster:
                yield cluster
        case "kind":
            with kind() as cluster:
                yield cluster
        case "existing":
            yield existing()
        case _:
            raise Unavailable(f"{ENV_PROVIDER}={provider} is no provider; cure: local, kind or existing")


def chosen() -> str:
    """The provider that the environment names, else the one that this machine can run."""
    if named := os.environ.get(ENV_PROVIDER):
        return named
    is_root_on_linux = sys.platform == "linux" and os.geteuid() == 0
    return "kind" if not is_root_on_linux and shutil.which("kind") else "local"


def prepare() -> None:
    """Builds what the local provider starts; minutes from nothing, so no test's time limit may be running yet."""
    if chosen() == "local":
        # Whoever asks for the cluster is told.
        with suppress(Unavailable):
            starter.check_machine()
            for module in starter.MODULES:
                binary_dir(module)


def must_be_there() -> bool:
    """Whether a missing cluster is a failure: on a build server nobody would notice what did not run."""
    return os.environ.get(ENV_CI, "").lower() == "true"


@contextmanager
def _local() -> Iterator[Cluster]:
    """A running cluster that the environment names, else one that ends with this process, however that ends."""
    if name := os.environ.get(ENV_ATTACH):
        cluster = starter.find(name)
        if cluster is None:
            raise Unavailable(f"{ENV_ATTACH}={name}: no such cluster runs")
        with inside(cluster.keeper_pid):
            yield cluster
        return
    cluster = starter.start(f"test-{os.getpid()}", attended=True)
    try:
        with inside(cluster.keeper_pid):
            yield cluster
    finally:
        cluster.end()
