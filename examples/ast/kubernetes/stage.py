"""What the demo needs before it can begin, and takes away at its end: cluster, operator, database, namespace."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chart.helm import CHART, NAMESPACE, RELEASE, Helm, program
from tests.cluster.api import Cluster
from tests.cluster.binaries import binary_dir, say
from tests.cluster.images.build import Images, ensure_images
from tests.cluster.local import starter
from tests.cluster.names import ENV_ATTACH
from tests.cluster.netns import inside, outside
from tests.cluster.providers import chosen, provided
from tests.support.postgres import throw_away

POOL_NAMESPACE = "demo"
SECRET = "ast-queue"  # noqa: S105 - the name of a Secret
CLUSTER = "dev"
"""The cluster of `make cluster`, so that `make cluster-shell` leads into the demo while it runs."""
CRD = "workerpools.workerpool.dev"
SECONDS = 180


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster with an operator in it, and the ``url`` of a database that pods and this process reach."""

    cluster: Cluster
    images: Images
    url: str


@contextmanager
def stage() -> Iterator[Stage]:
    """Prepares everything; what it made ends with the block. Raises Unavailable."""
    say("the first time on a machine this builds Kubernetes from source (about 10 minutes) and the images (about 5)")
    helm = program(4)
    for module in starter.MODULES if chosen() == "local" else ():
        binary_dir(module)
    with outside():
        images = ensure_images()
    with ExitStack() as stack:
        cluster, lasting = stack.enter_context(_cluster())
        say("loading the images into the node")
        cluster.load(images.archive)
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workerpool-demo-")))
        stack.enter_context(_operator(Helm(helm, home, cluster.environment), cluster, images, lasting=lasting))
        say(f"starting Postgres on {cluster.node_address}, where pods reach it")
        password = secrets.token_urlsafe(24)
        server = stack.enter_context(throw_away(host=cluster.node_address, password=password))
        url = server.url(server.create_database())
        stack.enter_context(_namespace(cluster, url, lasting=lasting))
        yield Stage(cluster, images, url)


@contextmanager
def _cluster() -> Iterator[tuple[Cluster, bool]]:
    """A cluster, and whether it lasts longer than the demo."""
    if chosen() != "local":
        with provided() as cluster:
            yield cluster, True
        return
    name = os.environ.get(ENV_ATTACH, CLUSTER)
    running = starter.find(name)
    cluster = running or starter.start(name, attended=True)
    try:
        with inside(cluster.keeper_pid):
            yield cluster, running is not None
    finally:
        if running is None:
            say("ending the cluster")
            cluster.end()


@contextmanager
def _operator(helm: Helm, cluster: Cluster, images: Images, *, lasting: bool) -> Iterator[None]:
    """The operator, installed by its chart unless somebody did so before."""
    if RELEASE in helm("list", f"--namespace={NAMESPACE}", "--short").split():
        say("the operator is installed already")
        yield
        return
    repository, _, tag = images.operator.ref.rpartition(":")
    command = ("install", RELEASE, "helm/workerpool", f"--namespace={NAMESPACE}", "--create-namespace")
    print(f"$ helm {' '.join(command)}", flush=True)
    values = (
        f"--set=image.repository={repository}",
        f"--set=image.tag={tag}",
        f"--set=runner.image={images.runner.ref}",
    )
    arguments = tuple(str(CHART) if word == "helm/workerpool" else word for word in command)
    try:
        helm(*arguments, *values, "--wait", f"--timeout={SECONDS}s", timeout=SECONDS + 30)
        yield
    finally:
        if lasting:
            say("removing the operator")
            helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", timeout=SECONDS)
            cluster.kubectl("delete", "namespace", NAMESPACE, timeout=SECONDS)
            cluster.kubectl("delete", "customresourcedefinition", CRD, timeout=SECONDS)


@contextmanager
def _namespace(cluster: Cluster, url: str, *, lasting: bool) -> Iterator[None]:
    """A namespace with the Secret that the pool names."""
    cluster.kubectl("create", "namespace", POOL_NAMESPACE)
    try:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"url": url}}
        cluster.apply(secret, POOL_NAMESPACE)
        yield
    finally:
        if lasting:
            cluster.kubectl("delete", "namespace", POOL_NAMESPACE, timeout=SECONDS)
