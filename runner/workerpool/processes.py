"""Processes for handlers that compute: each call may be killed for real, which a thread can't be.

The children are started afresh (spawn), so they share no lock or connection with the runner and import the user's
module themselves. They ignore Ctrl-C: the runner decides what a signal means.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

from pebble import ProcessExpired, ProcessPool

from workerpool.errors import WorkerPoolError
from workerpool.threads import run_to_end


class HandlerProcessDied(WorkerPoolError):
    """The process of a handler ended in the middle of a job (killed, out of memory, os._exit)."""


class Processes:
    """At most ``size`` child processes, started when the first call needs them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: ProcessPool | None = None

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - the function's own types
        """Calls ``function`` in a child; function, arguments and result must be picklable.

        When the caller is cancelled the child is killed. Raises what the function raised, or HandlerProcessDied.
        """
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(max_workers=self._size, initializer=die_with_parent, context=spawn)
        try:
            return await asyncio.wrap_future(self._pool.schedule(run_to_end, args=(function, *arguments)))
        except ProcessExpired as error:
            raise HandlerProcessDied(
                f"the handler's process ended with exit code {error.exitcode}; -9 often means out of memory"
            ) from None
        except BrokenProcessPool as error:
            self._pool = None
            raise HandlerProcessDied("the handler's processes broke down; the next job starts new ones") from error

    def close(self) -> None:
        """Kills the children, running or not, and waits for their end."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it bare
            self._pool.join()
            self._pool = None


def die_with_parent() -> None:
    """In a child: a runner that is killed must not leave its handlers running, unseen, beside the next attempt."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
