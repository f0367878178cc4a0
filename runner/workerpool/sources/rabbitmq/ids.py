"""Ids of jobs on a broker, which has no sequence to ask: 63 bits, ordered by time."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

EPOCH: Final = 1_577_836_800
"""2020-01-01 in unix seconds: microseconds since then leave ten bits of 63 for 285 years."""
SEQUENCE_BITS: Final = 10


@dataclass(slots=True)
class Ids:
    """Makes ids. ``wall``: unix seconds.

    Within a process ids are unique and grow. The low bits begin at random, so that two processes that make one in the
    same microsecond hardly ever make the same one.
    """

    wall: Callable[[], float]
    _last: int = 0
    _offset: int = field(default_factory=lambda: secrets.randbelow(1 << SEQUENCE_BITS))

    def next(self) -> int:
        """The next id."""
        made = (int((self.wall() - EPOCH) * 1_000_000) << SEQUENCE_BITS) | self._offset
        self._last = made = max(made, self._last + 1)
        return made
