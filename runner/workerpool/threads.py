"""Threads for sync handlers.

Not a ThreadPoolExecutor: its threads are joined when the interpreter exits, so one handler that hangs would keep the
process from ending, and it would go on occupying a place of the pool. Here a thread that was abandoned (timeout, drain)
simply isn't waited for; the next job gets another one, and the old one is used again if it ever comes back.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

JOIN_SECONDS: Final = 1.0


class _Call(NamedTuple):
    """One call on its way to a thread. ``answer`` belongs to ``loop``."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"


class Threads:
    """As many daemon threads as calls ran at the same time. All methods belong to one event loop's thread."""

    def __init__(self, name: str = "handler") -> None:
        self._name = name
        self._idle: list[_Thread] = []
        self._started = 0
        self._closed = False
        self.busy = 0

    @property
    def started(self) -> int:
        """Threads started so far."""
        return self._started

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - the function's own types
        """Calls ``function`` in a thread, with the caller's context variables, and returns or raises what it does.

        When the caller is cancelled the call goes on and its end is ignored: Python can't stop a thread. A coroutine
        that ``function`` returns is run to its end in the same thread.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        thread = self._idle.pop() if self._idle else self._start()
        self.busy += 1
        thread.inbox.put(_Call(function, arguments, contextvars.copy_context(), loop, answer))
        return await answer

    def close(self) -> None:
        """Ends the idle threads; those that still run a handler die with the process."""
        self._closed = True
        for thread in self._idle:
            thread.inbox.put(None)
        for thread in self._idle:
            thread.join(JOIN_SECONDS)
        self._idle.clear()

    def _start(self) -> "_Thread":
        self._started += 1
        thread = _Thread(self, f"{self._name}-{self._started}")
        thread.start()
        return thread

    def returned(self, thread: "_Thread", call: _Call, result: object, error: BaseException | None) -> None:
        """A call ended (told in the loop): answers whoever still waits and keeps the thread for the next call."""
        self.busy -= 1
        if self._closed:
            thread.inbox.put(None)
        else:
            self._idle.append(thread)
        if call.answer.done():
            return
        if error is None:
            call.answer.set_result(result)
        else:
            call.answer.set_exception(error)


class _Thread(threading.Thread):
    """Takes calls from its inbox until it gets None."""

    def __init__(self, pool: Threads, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.inbox: SimpleQueue[_Call | None] = SimpleQueue()
        self._pool = pool

    def run(self) -> None:
        while (call := self.inbox.get()) is not None:
            result, error = _outcome(call)
            try:
                call.loop.call_soon_threadsafe(self._pool.returned, self, call, result, error)
            except RuntimeError:
                return  # the loop is closed: the process is ending
            del call, result, error


def _outcome(call: _Call) -> tuple[Any, BaseException | None]:
    try:
        return call.context.run(run_to_end, call.function, *call.arguments), None
    except StopIteration as error:
        # A future refuses StopIteration.
        return None, RuntimeError(f"the handler raised StopIteration: {error}").with_traceback(error.__traceback__)
    except BaseException as error:  # noqa: BLE001 - a SystemExit too must reach the pipeline, not end a thread unseen
        return None, error


def run_to_end(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - the function's own types
    """Calls ``function``; a coroutine that comes back is run in an event loop of its own."""
    result = function(*arguments)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result
