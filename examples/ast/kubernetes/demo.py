"""`make demo-kubernetes`: the product's main job on a real Kubernetes, which it starts on this machine.

The operator is installed by its chart, a pool is applied, every Python file of the runner's image becomes a job, and
pods grow to the maximum and go back to none. Needs root and Linux; ends with nothing left behind.
"""

import argparse
import asyncio
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from examples.ast.demo import plot_to, tell
from examples.ast.kubernetes.stage import POOL_NAMESPACE, Stage, stage
from examples.ast.kubernetes.watch import watch
from examples.ast.results import results
from tests.chart.helm import HelmFailed
from tests.cluster.api import Cluster, KubectlFailed, Unavailable
from workerpool.producer import get_producer
from workerpool_operator.up.timeline import Timeline

MANIFEST = "examples/ast/kubernetes/workerpool.yaml"
LIST_FILES = Path(__file__).with_name("list_files.py")
PICTURE = Path("build/ast-kubernetes.svg")
POOL, QUEUE = "ast", "python-files"
PLACE = f"--namespace={POOL_NAMESPACE}"
SECONDS = 120

PLAY = """
It all keeps running until you press Ctrl-C. In another terminal:
  make cluster-shell
  export WORKERPOOL_URL=$(kubectl -n demo get secret ast-queue -o jsonpath={.data.url} | base64 -d)
  kubectl -n demo get wp --watch &
  .venv/bin/workerpool enqueue python-files '{"path": "/app/examples/ast/workers.py", "module": "workers"}'"""


def main() -> int:
    """Runs the demo; 1 with a line that says why when it can't."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.ast.kubernetes.demo", description="WorkerPool on Kubernetes."
    )
    parser.add_argument("--files", type=int, metavar="N", help="take only N files")
    parser.add_argument("--keep", action="store_true", help="afterwards, keep everything until Ctrl-C")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with stage() as prepared:
            demo(prepared, arguments.files)
            if arguments.keep:
                print(PLAY, flush=True)
                signal.pause()
    except KeyboardInterrupt:
        return 0 if arguments.keep else 1
    except (Unavailable, KubectlFailed, HelmFailed, TimeoutError) as problem:
        print(f"demo-kubernetes: {problem}", file=sys.stderr)
        return 1
    return 0


def demo(prepared: Stage, limit: int | None) -> None:
    """Applies the pool, enqueues, follows it to its end and shows what came out."""
    cluster = prepared.cluster
    kubectl(cluster, "apply", f"--filename={MANIFEST}", PLACE)
    kubectl(cluster, "wait", "--for=condition=Ready", f"workerpool/{POOL}", PLACE, f"--timeout={SECONDS}s")
    kubectl(cluster, "get", "wp", PLACE)
    files = files_of(cluster, prepared.images.example.ref)[:limit]
    asyncio.run(enqueue(prepared.url, files))
    print(f"Enqueued {len(files)} jobs on {QUEUE}: one per Python file of the runner's image\n")
    timeline = watch(cluster, POOL_NAMESPACE, POOL)
    kubectl(cluster, "describe", "wp", POOL, PLACE)
    show(prepared.url, timeline)


def kubectl(cluster: Cluster, *arguments: str) -> None:
    """A command as a user types it, with its answer."""
    print(f"$ kubectl {shlex.join(arguments)}", flush=True)
    print(cluster.kubectl(*arguments, timeout=SECONDS + 10), flush=True)


def files_of(cluster: Cluster, image: str) -> list[dict[str, str]]:
    """One payload per Python file of the image, which a pod lists."""
    command = ("--restart=Never", "--command", "--", "python", "-c", LIST_FILES.read_text())
    cluster.kubectl("run", "list-files", f"--image={image}", PLACE, *command)
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", done, "pod/list-files", PLACE, f"--timeout={SECONDS}s", timeout=SECONDS + 10)
    lines = cluster.kubectl("logs", "list-files", PLACE).splitlines()
    return [dict(zip(("path", "module"), line.split("\t"), strict=True)) for line in lines]


async def enqueue(url: str, files: list[dict[str, Any]]) -> None:
    """All files at once, in one transaction."""
    async with get_producer(url) as producer:
        await producer.enqueue_many(QUEUE, files)


def show(url: str, timeline: Timeline) -> None:
    """Prints results, times and the plot; the last line is the summary."""
    found = asyncio.run(results(url))
    tell(found)
    plot_to(PICTURE, timeline, "WorkerPool ast on Kubernetes: backlog and replicas")
    print(
        f"{found.totals['files']} jobs completed, {found.dead} dead, "
        f"peak {timeline.peak} replicas, {timeline.now} now"
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
