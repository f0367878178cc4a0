"""procrastinate: one task, psycopg pool, as its documentation shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import procrastinate

from benchmarks.peers.base import main
from benchmarks.peers.spec import Spec
from benchmarks.peers.tally import Handle, Tally

TASK = "bench"


class TaskProducer:
    """Defers jobs of one task."""

    def __init__(self, app: procrastinate.App) -> None:
        self._app = app

    async def single(self, number: int) -> None:
        """Defer one job."""
        await self._app.configure_task(TASK).defer_async(number=number)

    async def batch(self, numbers: Sequence[int]) -> None:
        """Defer many jobs by one call."""
        await self._app.configure_task(TASK).batch_defer_async(*({"number": number} for number in numbers))


def _app(spec: Spec, handle: Handle | None = None) -> procrastinate.App:
    """An app with one task that passes its job to `handle`; the pool leaves the listener a connection."""
    connections = int(spec.options.get("concurrency", 1)) + 2
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=spec.url, max_size=connections))
    if handle is not None:
        app.task(handle, name=TASK)
    return app


class Procrastinate:
    """Options: concurrency, delete_jobs."""

    async def setup(self, spec: Spec) -> None:
        """Apply its schema."""
        async with _app(spec).open_async() as app:
            await app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def producer(self, spec: Spec) -> AsyncIterator[TaskProducer]:
        """A producer on an open app."""
        async with _app(spec).open_async() as app:
            yield TaskProducer(app)

    async def work(self, spec: Spec, tally: Tally, stop: asyncio.Event) -> None:
        """Run its worker."""
        handle = tally.handler()

        async def task(number: int) -> None:
            await handle(number)

        async with _app(spec, task).open_async() as app:
            worker = asyncio.create_task(
                app.run_worker_async(
                    concurrency=spec.options["concurrency"],
                    delete_jobs=spec.options["delete_jobs"],
                    install_signal_handlers=False,
                )
            )
            await asyncio.wait([worker, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            worker.cancel()
            await asyncio.wait([worker])


if __name__ == "__main__":
    main(Procrastinate())
