"""When to look again at jobs that can't be placed: ever less often, until there are others. Pure."""

from dataclasses import dataclass
from typing import Final

LONGEST: Final = 300.0
"""Seconds between two looks at the same jobs, at most."""
UNKNOWN: Final = -1


@dataclass(slots=True)
class Spacing:
    """Steady seconds."""

    pause: float = 0.0
    due: float = float("-inf")
    left: int = UNKNOWN

    def is_early(self, there: int, now: float) -> bool:
        """Whether a look at so many jobs would find only those that could not be placed."""
        return there == self.left and now < self.due

    def looked(self, there: int, *, placed: int, revived: int, now: float, shortest: float) -> None:
        """Notes a look at ``there`` jobs. ``revived``: those that are back from the broker's hands and come next."""
        if placed or not there:
            self.again()
            return
        self.pause = min(max(self.pause * 2, shortest), LONGEST)
        self.due = now + self.pause
        self.left = UNKNOWN if revived else there

    def again(self) -> None:
        """The next look is not put off."""
        self.pause, self.due, self.left = 0.0, float("-inf"), UNKNOWN
