"""Hot reload for development: the runner is drained and started again when a Python file of the app changes.

The whole process is replaced, never a module inside it: what the old code left in memory can't confuse the new. A child
that ends by itself (a syntax error, a wrong import) is not started again until something changes.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workerpool.children import Child, Command, first_of, how, stop_signals
from workerpool.errors import ConfigError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """``command``: what to run. ``folder``: watched with all below it. ``grace``: seconds that a drain may take."""

    command: Command
    folder: Path
    grace: float


class Reloader:
    """Runs one child and replaces it whenever the code under ``settings.folder`` changes."""

    def __init__(self, settings: ReloadSettings) -> None:
        self._settings = settings
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Asks for a drain and for the end."""
        self._stopping.set()

    async def run(self) -> int:
        """Runs until `stop`, SIGTERM or SIGINT; returns the exit code. ConfigError when nothing can be watched."""
        watching = asyncio.create_task(self._watch())
        try:
            with stop_signals(self.stop):
                while not self._stopping.is_set() and not watching.done():
                    self._changed.clear()
                    await self._live()
        finally:
            self._stopping.set()
            await watching
        return 0

    async def _live(self) -> None:
        """One life of the child: until it is told to end, or has ended and something changed."""
        child = await Child.spawn(self._settings.command)
        try:
            code = await first_of(child.wait(), self._woken())
            if code is None:
                await child.stop(self._settings.grace)
                return
            logger.warning("the runner ended by itself (%s); waiting for a change", how(code))
            await self._woken()
        finally:
            child.close()

    async def _woken(self) -> int:
        """Returns at a change or at the end."""
        return await first_of(_wait(self._changed), _wait(self._stopping)) or 0

    async def _watch(self) -> None:
        """Sets the event at each batch of changes until the end."""
        try:
            from watchfiles import PythonFilter, awatch
        except ImportError as error:
            self._changed.set()
            raise ConfigError("--reload needs the package watchfiles: pip install 'workerpool[local]'") from error
        try:
            changes = awatch(
                self._settings.folder, watch_filter=PythonFilter(), stop_event=self._stopping, debounce=200
            )
            async for batch in changes:
                logger.info("changed: %s; reloading", _names(path for _, path in batch))
                self._changed.set()
        except FileNotFoundError as error:
            self._changed.set()
            raise ConfigError(f"--reload: no such folder {self._settings.folder}; name the app's own folder") from error


async def _wait(event: asyncio.Event) -> int:
    await event.wait()
    return 0


def _names(paths: Iterable[str], most: int = 3) -> str:
    """The names of the changed files, at most ``most`` of them."""
    names = sorted({Path(path).name for path in paths})
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
