"""`make demo`: the product's main job on this machine, on real input, without a cluster or Docker.

An embedded Postgres starts in a temporary folder, every source file of the interpreter's standard library becomes a
job, the pool of workerpool.yaml grows from 0 to its maximum and goes back to 0, and the results are queried.
"""

import argparse
import asyncio
import os
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from examples.ast.results import Percentiles, Results, results
from workerpool.localdb import LocalPostgres
from workerpool.producer import get_producer
from workerpool_contract.spec import WorkerPool
from workerpool_operator.backlog.watch import Endpoint
from workerpool_operator.chart import Series, svg, text_plot
from workerpool_operator.manifest import load
from workerpool_operator.up.reporter import Lines, Reporter
from workerpool_operator.up.screen import Screen
from workerpool_operator.up.session import Clocks, Session, Setup, Until
from workerpool_operator.up.timeline import Timeline, sampled

MANIFEST = Path(__file__).with_name("workerpool.yaml")
PICTURE = Path("build/ast-demo.svg")
PLOT_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Place:
    """Where this run keeps its state, and the database in it."""

    folder: Path
    url: str


def main() -> None:
    """Runs the demo and prints its summary."""
    parser = argparse.ArgumentParser(prog="python -m examples.ast.demo", description="The demo of WorkerPool.")
    parser.add_argument("--files", type=int, metavar="N", help="take only N files of the standard library")
    limit: int | None = parser.parse_args().files
    with tempfile.TemporaryDirectory(prefix="workerpool-demo-") as name:
        folder = Path(name)
        # Postgres runs as a user of its own when root starts it, and must reach its data.
        folder.chmod(0o755)
        print("Starting an embedded Postgres")
        database = LocalPostgres()
        try:
            asyncio.run(demo(Place(folder, database.start(folder)), limit))
        finally:
            database.stop()


async def demo(place: Place, limit: int | None) -> None:
    """Enqueues, runs the pool until nothing is left, and shows what came out."""
    [pool] = load({str(MANIFEST): MANIFEST.read_text()}).pools
    queue = pool.spec.source.queue
    files = source_files()[:limit]
    async with get_producer(place.url) as producer:
        await producer.enqueue_many(queue, files)
    print(f"Enqueued {len(files)} jobs on {queue}: one per source file of Python's standard library")
    timeline = await run(pool, place)
    show(await results(place.url), timeline)
    print(
        f"{timeline.completed} jobs completed, {timeline.dead} dead, "
        f"peak {timeline.peak} replicas, {timeline.now} now"
    )  # fmt: skip


def source_files() -> list[dict[str, str]]:
    """One payload per source file of the standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    return [{"path": str(path), "module": ".".join(path.relative_to(root).with_suffix("").parts)} for path in found]


async def run(pool: WorkerPool, place: Place) -> Timeline:
    """Runs the pool until its queue is empty and no runner is left."""
    reporter: Reporter = Screen(Console()) if sys.stdout.isatty() else Lines(lambda line: print(line, flush=True))
    setup = Setup(
        pools=(pool,),
        endpoints={pool.metadata.name: Endpoint(place.url)},
        logs=place.folder / "logs",
        environ=os.environ,
        until=Until.REST,
    )
    session = Session(setup, reporter, Clocks(time.monotonic, time.time))
    try:
        with session.signals():
            timelines = await session.run()
    finally:
        reporter.close()
    return timelines[pool.metadata.name]


def show(found: Results, timeline: Timeline) -> None:
    """Prints results, times and the plot, and saves the plot as a picture."""
    tell(found)
    plot_to(PICTURE, timeline, "WorkerPool ast: backlog and replicas")


def tell(found: Results) -> None:
    """Prints what the jobs found, and how long they took."""
    totals = found.totals
    print(
        f"\nMeasured {totals['files']} files: {totals['lines']} lines, {totals['functions']} functions, "
        f"{totals['classes']} classes, {totals['imports']} imports"
    )
    print("Most complex modules (select … from workerpool.history order by complexity desc):")
    for module, complexity, lines in found.most_complex:
        print(f"  {complexity:6}  {module} ({lines} lines)")
    for error in found.errors:
        print("Dead letter, for example:", error.partition("\n")[0])
    print(f"\nJobs waited {times(found.waited)}; ran {times(found.ran)}\n")


def plot_to(file: Path, timeline: Timeline, title: str) -> None:
    """Backlog and replicas over time, as text and as a picture."""
    points = sampled(timeline.points, PLOT_WIDTH)
    seconds = points[-1].at
    backlog = Series("Backlog", [point.backlog for point in points])
    replicas = Series("Replicas", [point.replicas for point in points])
    print(text_plot(backlog, seconds))
    print(text_plot(replicas, seconds, height=max(1, timeline.peak)))
    every = timeline.points
    picture = svg(
        title,
        [point.at for point in every],
        Series("Backlog (jobs)", [point.backlog for point in every]),
        Series("Replicas", [point.replicas for point in every]),
    )
    file.parent.mkdir(exist_ok=True)
    file.write_text(picture)
    print(f"The plot is in {file}\n")


def times(found: Percentiles) -> str:
    """Percentiles in words."""
    return f"p50 {found.p50:.3g} s, p90 {found.p90:.3g} s, p99 {found.p99:.3g} s"


if __name__ == "__main__":
    main()
