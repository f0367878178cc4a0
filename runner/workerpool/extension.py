"""What a ready-made worker adds to its runner: something to open and close, checks for /health, and metrics."""

from collections.abc import Mapping
from typing import Protocol

from workerpool.probes import Check


class Extension(Protocol):
    """Opened before the first job is claimed, closed after the last one is settled, in the runner's loop."""

    async def open(self) -> None:
        """Gets ready; a server that is away is waited for later. Raises ConfigError."""
        ...

    def drain(self) -> None:
        """The runner stops: jobs that only wait should end."""
        ...

    async def close(self) -> None:
        """Gives back what ``open`` took; harmless without it."""
        ...

    def checks(self) -> Mapping[str, Check]:
        """Further checks for /health; called in the probe's thread."""
        ...

    def metrics_text(self) -> str:
        """Further metrics, in the Prometheus text format; called in the probe's thread."""
        ...


class NoExtension:
    """The extension of a runner that has none."""

    async def open(self) -> None:
        """Nothing to open."""

    def drain(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        """Nothing to close."""

    def checks(self) -> Mapping[str, Check]:
        """None."""
        return {}

    def metrics_text(self) -> str:
        """None."""
        return ""
