"""An event loop whose clock jumps: waiting for an hour takes no time, and a test sees when what happened."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """When nothing is ready, the time of the next timer is now."""

    def __init__(self) -> None:
        """Starts at zero."""
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now


class _Jumping(selectors.DefaultSelector):
    """A selector that moves the clock instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        """What is ready now; the clock is moved by ``timeout`` when nothing is."""
        ready: list[Any] = super().select(0)
        if ready:
            return ready
        if timeout is None:
            message = "nothing is left that could happen: the test waits for ever"
            raise RuntimeError(message)
        self._loop.now += max(0.0, timeout)
        return ready


def run(scenario: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Plays a scenario to its end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(scenario(loop))
    finally:
        loop.close()


async def until(moment: float) -> None:
    """Lets everything happen that happens up to ``moment``."""
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()
    loop.call_at(moment, reached.set)
    await reached.wait()
