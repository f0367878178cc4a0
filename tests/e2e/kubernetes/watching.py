"""What an object went through, as a watch told it: nothing is missed between two looks."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from threading import Thread

from tests.e2e.kubernetes.pool import Pool
from tests.support.patience import until


@contextmanager
def watched(pool: Pool, kind: str, path: str) -> Iterator[list[str]]:
    """A growing list of what the JSONPath ``path`` was of the pool's object of this kind, now and at every change."""
    with _watched(pool, (kind, pool.name), path) as found:
        yield found


@contextmanager
def watched_pods(pool: Pool) -> Iterator[list[str]]:
    """Name and deletion cost of the pool's pods, which must be some, now and at every change of one."""
    path = r"{.metadata.name} {.metadata.annotations.controller\.kubernetes\.io/pod-deletion-cost}"
    with _watched(pool, ("pods", f"--selector=workerpool.dev/pool={pool.name}"), path) as found:
        yield found


@contextmanager
def _watched(pool: Pool, objects: tuple[str, str], path: str) -> Iterator[list[str]]:
    cluster = pool.cluster
    access = [str(cluster.kubectl_program), f"--kubeconfig={cluster.kubeconfig}", f"--context={cluster.context}"]
    command = [*access, "get", *objects, pool.place, "--watch", f"--output=jsonpath={path}{{'\\n'}}"]
    found: list[str] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        stream = process.stdout
        reader = Thread(target=lambda: found.extend(line.rstrip("\n") for line in stream), daemon=True)
        reader.start()
        until(lambda: found, 30, f"the watch on {objects} says what there is")
        try:
            yield found
            assert process.poll() is None, f"the watch on {objects} ended before the test"
        finally:
            process.kill()
            reader.join()


@contextmanager
def watched_size(pool: Pool) -> Iterator[list[str]]:
    """The sizes that the pool's Deployment was told."""
    with watched(pool, "deployment", "{.spec.replicas}") as found:
        yield found


def steps(found: Sequence[str]) -> list[int]:
    """Sizes without repetitions: 0, 0, 4, 4, 2 become 0, 4, 2."""
    return [int(size) for size, _ in groupby(found)]


def fell(found: Sequence[str]) -> list[tuple[int, int]]:
    """Every step downwards: from, to."""
    return [(old, new) for old, new in pairwise(steps(found)) if new < old]
