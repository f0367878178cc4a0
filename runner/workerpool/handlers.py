"""How the callables of a worker run: async ones on the loop, sync ones in threads, heavy ones in processes."""

from collections.abc import Awaitable, Callable
from typing import Any

from workerpool.definition import Executor, Handler, is_async
from workerpool.processes import Processes
from workerpool.threads import Threads

Call = Callable[..., Awaitable[Any]]


class Handlers:
    """Owns the threads and processes of one runner process."""

    def __init__(self) -> None:
        self._threads = Threads()
        self._processes: list[Processes] = []

    def caller(self, function: Handler, executor: Executor, concurrency: int) -> Call:
        """An awaitable form of ``function``; for "async" that is the function itself, so it costs nothing."""
        if executor == "async":
            return function
        if executor == "thread":
            return self._in_thread(function)
        return self._in_process(function, concurrency)

    def hook_caller(self, function: Handler | None) -> Call | None:
        """An awaitable form of a hook: async hooks on the loop, sync ones in threads."""
        if function is None:
            return None
        return function if is_async(function) else self._in_thread(function)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - the function's own types
        """Calls ``function`` in a thread and returns what it does."""
        return await self._threads.run(function, *arguments)

    def close(self) -> None:
        """Kills the handler processes and lets the threads go; blocks for about a second at most."""
        for processes in self._processes:
            processes.close()
        self._processes.clear()
        self._threads.close()

    def _in_thread(self, function: Handler) -> Call:
        run = self._threads.run

        def call(*arguments: Any) -> Awaitable[Any]:  # noqa: ANN401 - the handler's own types
            return run(function, *arguments)

        return call

    def _in_process(self, function: Handler, size: int) -> Call:
        processes = Processes(size)
        self._processes.append(processes)
        run = processes.run

        def call(*arguments: Any) -> Awaitable[Any]:  # noqa: ANN401 - the handler's own types
            return run(function, *arguments)

        return call
