"""The database that `workerpool up` starts by itself when nobody names one.

It is found by the entry-point group `workerpool.local_databases`.
"""

from pathlib import Path
from typing import Protocol


class LocalDatabase(Protocol):
    """A database server for one machine. The methods block: async callers run them in a thread."""

    def start(self, state_dir: Path) -> str:
        """Starts the server with its data under ``state_dir``, applies the migrations and returns the connection URL.

        Data of an earlier start is found again. Raises OSError or RuntimeError with the cause and the cure.
        """
        ...

    def stop(self) -> None:
        """Stops the server if this object started it; harmless when called twice."""
        ...
