"""Commands as a reader runs them: nothing to read, and all that they print in one text."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_command(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command in ``folder`` to its end; what it prints, errors included, is in ``stdout``.

    Raises subprocess.TimeoutExpired after ``seconds``.
    """
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
