"""Is this runner deaf? The broker has work, slots are idle, and yet nothing comes. Pure.

A first silence costs the channel, which cures whatever went wrong between this process and its consumers. Another one
right after it is beyond what this process can do: it says so, and /live fails.
"""

from dataclasses import dataclass
from typing import Final

SILENCE: Final = 60.0
"""Seconds without an arrival, while jobs were asked for, after which the queues are looked at."""


@dataclass(slots=True)
class Watchdog:
    """``deaf``: a new channel did not help. Times are steady seconds."""

    deaf: bool = False
    _since: float | None = None
    _resets: int = 0

    def heard(self) -> None:
        """Something arrived, or nothing was asked for."""
        self._since, self._resets, self.deaf = None, 0, False

    def hungry(self, now: float, silence: float = SILENCE) -> bool:
        """Jobs were asked for and none came; whether it is time to look at the queues."""
        if self._since is None:
            self._since = now
        return now - self._since >= silence

    def looked(self, now: float, ready: int) -> bool:
        """The queues hold ``ready`` jobs; whether the channel is to be given up."""
        self._since = now
        if not ready:
            self.heard()
            return False
        self._resets += 1
        self.deaf = self._resets > 1
        return True
