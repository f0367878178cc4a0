"""What ties a source to the runner's loop, the same for every engine: whom it tells, and how it is woken."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workerpool.sources.base import Job

Tell = Callable[[Sequence[Job]], None]


def _nobody(_jobs: Sequence[Job]) -> None:
    """Nobody wants to know."""


@dataclass(slots=True, eq=False)
class Wired:
    """The part of a JobSource that no server is needed for."""

    _woken: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _on_fenced: Tell = field(init=False, default=_nobody)
    _on_cancelled: Tell = field(init=False, default=_nobody)

    def on_fenced(self, callback: Tell) -> None:
        """``callback`` is told, in the runner's loop, the jobs whose lease is lost."""
        self._on_fenced = callback

    def on_cancelled(self, callback: Tell) -> None:
        """``callback`` is told, in the runner's loop, the held jobs that somebody cancelled."""
        self._on_cancelled = callback

    def wake(self) -> None:
        """Ends a ``wait`` now."""
        self._woken.set()

    async def _woken_or_due(self, timeout: float, due_in: float | None = None) -> bool:
        """Until ``wake``, or ``due_in`` seconds, when a job is due (True), or ``timeout`` seconds (False)."""
        remaining = timeout if due_in is None else min(timeout, max(0.0, due_in))
        try:
            async with asyncio.timeout(remaining):
                await self._woken.wait()
        except TimeoutError:
            return remaining < timeout
        self._woken.clear()
        return True
