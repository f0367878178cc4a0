"""How many messages to take ahead: short jobs never wait for the next one, long ones are not hoarded. Pure."""

from typing import Final

MOST: Final = 1000
"""Unacknowledged messages per consumer; quorum queues deliver at most 2,000 ahead."""
COVERED: Final = 0.1
"""Seconds of work that are taken ahead: what settling, acknowledging and delivering may take together."""
SLOW: Final = 1.0
"""Seconds: nothing is taken ahead for jobs that take longer, so that another runner can have it."""


def first(slots: int) -> int:
    """The prefetch while nothing is known of the jobs."""
    return min(MOST, slots + max(2, slots // 4))


def wanted(slots: int, rate: float, mean: float | None) -> int:
    """The prefetch for jobs that take ``mean`` seconds (None: nobody knows) and are finished at ``rate`` per second."""
    if mean is None:
        return first(slots)
    if mean > SLOW:
        return max(1, slots)
    return min(MOST, max(first(slots), slots + int(rate * COVERED)))


def adjusted(current: int, target: int, least: int) -> int:
    """The prefetch to use: a change means new consumers, so only what makes a difference is changed.

    ``least``: slots; a prefetch above it goes down to it at once when the jobs turn out slow.
    """
    if target >= current * 1.5 or target * 4 <= current or (target <= least < current):
        return target
    return current
