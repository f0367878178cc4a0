"""The database that `workerpool up` starts by itself when nobody names one.

It is found by the entry-point group `workerpool.local_databases`.
"""

from hashlib import sha256
from os import fsencode
from pathlib import Path
from typing import Final, Protocol

ROOT_STATE: Final = Path("/var/lib/workerpool")


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


def state_dir(project: Path, user_state: Path, *, root: bool, override: str | None = None) -> Path:
    """The folder that keeps the state of the project in ``project``: ``override`` as it is, else one per project.

    Every command that is run in the same directory finds the same folder, and so the same embedded database.
    ``user_state``: the user's state directory for WorkerPool. ``root``: the superuser runs this, whose own home is
    closed to the user that Postgres then runs as.
    """
    if override:
        return Path(override).expanduser().absolute()
    place = project.resolve()
    digest = sha256(fsencode(place)).hexdigest()[:8]
    return (ROOT_STATE if root else user_state) / f"{place.name or 'root'}-{digest}"
