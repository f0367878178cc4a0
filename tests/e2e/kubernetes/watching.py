"""What an object went through, as a watch told it: nothing is missed between two looks."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from threading import Thread
from typing import Any, TypeVar

from tests.e2e.kubernetes.pool import Pool
from tests.support.patience import until

T = TypeVar("T")

Body = dict[str, Any]

DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments?fieldSelector=metadata.name={name}"
PODS = "/api/v1/namespaces/{namespace}/pods?labelSelector=workerpool.dev/pool={name}"
POOL = "/apis/workerpool.dev/v1/namespaces/{namespace}/workerpools?fieldSelector=metadata.name={name}"


@contextmanager
def watched(pool: Pool, objects: str, what: Callable[[Body], T]) -> Iterator[list[T]]:
    """A growing list of ``what`` of some objects of the pool's namespace: one item each now, one at every change.

    ``objects``: their kind's path in the API and which of them. There must be some.
    """
    cluster = pool.cluster
    access = [str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}", f"--context={cluster.context}"]
    # From what the API server's cache has: without a version the watch fails while that is behind.
    url = objects.format(namespace=pool.namespace, name=pool.name) + "&watch=true&resourceVersion=0"
    found: list[T] = []
    with subprocess.Popen([*access, "get", f"--raw={url}"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        stream = process.stdout
        reader = Thread(target=lambda: found.extend(what(json.loads(line)["object"]) for line in stream), daemon=True)
        reader.start()
        until(lambda: found, 60, f"the watch on {url} says what there is")
        try:
            yield found
            assert process.poll() is None, f"the watch on {url} ended before the test"
        finally:
            process.kill()
            reader.join()


@contextmanager
def watched_pods(pool: Pool) -> Iterator[list[str]]:
    """Name and deletion cost of the pool's pods, which must be some, now and at every change of one."""

    def line(body: Body) -> str:
        cost = body["metadata"].get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost", "")
        return f"{body['metadata']['name']} {cost}"

    with watched(pool, PODS, line) as found:
        yield found


@contextmanager
def watched_size(pool: Pool) -> Iterator[list[int]]:
    """The sizes that the pool's Deployment was told."""
    with watched(pool, DEPLOYMENT, lambda body: int(body["spec"]["replicas"])) as found:
        yield found


@contextmanager
def watched_condition(pool: Pool, kind: str) -> Iterator[list[str]]:
    """A condition of the pool in one line each: "False BacklogUnknown: why"."""

    def line(body: Body) -> str:
        found = {it["type"]: it for it in body.get("status", {}).get("conditions", ())}.get(kind)
        return f"{found['status']} {found['reason']}: {found.get('message', '')}" if found else ""

    with watched(pool, POOL, line) as found:
        yield found


def steps(found: Sequence[int]) -> list[int]:
    """Sizes without repetitions: 0, 0, 4, 4, 2 become 0, 4, 2."""
    return [size for size, _ in groupby(found)]


def fell(found: Sequence[int]) -> list[tuple[int, int]]:
    """Every step downwards: from, to."""
    return [(old, new) for old, new in pairwise(steps(found)) if new < old]
