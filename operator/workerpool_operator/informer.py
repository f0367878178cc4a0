"""Kopf inside our own event loop: its tasks begin and end with a context, and touch none of ours."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any

import kopf

from workerpool_contract import names


class _Everything(Collection[Any]):
    """Kopf cancels at its end whatever task it is not told to ignore; ours are none of its business."""

    def __contains__(self, _task: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


@contextlib.asynccontextmanager
async def informing(
    registry: kopf.OperatorRegistry,
    settings: kopf.OperatorSettings,
    namespaces: tuple[str, ...],
    on_signal: Callable[[], None],
) -> AsyncIterator["asyncio.Task[None]"]:
    """Watches inside; the task ends by itself only when watching is refused, with the reason as its exception.

    ``on_signal``: called at SIGINT and SIGTERM, which kopf would otherwise answer on its own.
    """
    ending = asyncio.Event()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=settings,
        standalone=True,
        # Or kopf makes one of the user's name, which a numeric user of a container has not.
        identity=names.MANAGER,  # type: ignore[arg-type] # kopf's own kind of string is not public
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=ending,
    )
    catch_signals(on_signal)
    watching = asyncio.create_task(kopf.run_tasks(tasks, ignored=_Everything()), name="watches")
    try:
        yield watching
    finally:
        ending.set()
        await asyncio.gather(watching, return_exceptions=True)


def catch_signals(on_signal: Callable[[], None]) -> None:
    """Has ``on_signal`` called when the process is told to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
