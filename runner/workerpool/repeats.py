"""When to log again what stays wrong: at first, and from then on ever more seldom. Pure."""

from dataclasses import dataclass, field
from typing import Final

FIRST_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 600.0
REMEMBERED: Final = 16
"""Texts; more are forgotten, and so told again, rather than kept for ever."""


@dataclass(slots=True)
class Repeats:
    """What has been said about one trouble. Each text counts for itself: two that alternate are no news either."""

    _told: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By text: from when on it is said again, and how long the pause before is, both in seconds."""

    def news(self, text: str, now: float) -> bool:
        """Whether ``text`` should be said at ``now`` (monotonic seconds): new, or 30 s, 60 s … 600 s after the last."""
        due, pause = self._told.get(text, (now, FIRST_PAUSE))
        if now < due:
            return False
        if text not in self._told and len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[text] = (now + pause, min(LONGEST_PAUSE, pause * 2))
        return True
