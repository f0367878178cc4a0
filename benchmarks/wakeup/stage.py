"""What is measured on: the test cluster, the operator as the chart installs it, a database that pods reach, pools."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.api import Cluster
from tests.cluster.images.build import Images, ensure_images
from tests.cluster.netns import outside
from tests.cluster.providers import provided
from tests.e2e.kubernetes.pool import Pool, make_table, pool_manifest, surroundings
from tests.e2e.kubernetes.release import Operator, installed
from tests.support.patience import until
from tests.support.postgres import throw_away
from tests.support.tables import Tables

DURABLE = {"shared_buffers": "128MB", "max_connections": "200"}
"""Unlike in tests, a commit waits for the disk."""
NOWHERE = {"spec": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}}
"""Pods that stay Pending: the start of those that one wake-up made does not disturb the next."""
PASSWORD = "of-a-throw-away-server"  # noqa: S105 - it lives as long as the measurement


@dataclasses.dataclass(frozen=True)
class Stage:
    """A running operator, and a namespace and a database for pools."""

    cluster: Cluster
    operator: Operator
    namespace: str
    tables: Tables

    def pool(self, name: str, queue: str, worker: dict[str, Any], scaling: dict[str, Any]) -> Pool:
        """A pool that is asleep and Ready when this returns."""
        manifest = pool_manifest(name, queue, self.operator.images.example.ref, worker, scaling)
        self.cluster.apply(manifest, self.namespace)
        pool = Pool(self.cluster, self.namespace, name, queue, self.tables)
        until(lambda: pool.condition("Ready").get("status") == "True", 60, pool.story)
        return pool


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything started for the block, and removed afterwards. Raises Unavailable."""
    with ExitStack() as stack:
        cluster = stack.enter_context(provided())
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="workerpool-helm-"))
        operator = stack.enter_context(installed(cluster, _images(cluster), Path(home)))
        server = stack.enter_context(throw_away(settings=DURABLE, host=cluster.node_address, password=PASSWORD))
        tables = Tables(server.url(server.create_database()))
        make_table(tables)
        namespace = stack.enter_context(cluster.namespace("wakeup"))
        cluster.apply(surroundings(tables.url), namespace)
        yield Stage(cluster, operator, namespace, tables)


def _images(cluster: Cluster) -> Images:
    with outside():
        images = ensure_images()
    cluster.load(images.archive)
    return images
