"""How many messages to take ahead: short jobs never wait for the next one, long ones are not hoarded. Pure."""

from typing import Final

MOST: Final = 1000
"""Unacknowledged messages per consumer; quorum queues deliver at most 2,000 ahead."""
AHEAD: Final = 1.0
"""Seconds of work that may be taken ahead, at the most."""
SLOW: Final = 1.0
"""Seconds: nothing is taken ahead for jobs that take longer, so that another runner can have it."""


def first(slots: int) -> int:
    """The prefetch while nothing is known of the jobs."""
    return min(MOST, slots + max(2, slots // 4))


def adjusted(current: int, slots: int, rate: float, mean: float | None, *, starved: bool) -> int:
    """The prefetch from now on, for jobs that take ``mean`` seconds (None: nobody knows), ``rate`` per second of them.

    ``starved``: slots were idle although the broker had delivered all that it may. A change means new consumers, so
    small ones are not made.
    """
    if mean is None:
        return current
    if mean > SLOW:
        return slots
    limit = min(MOST, max(first(slots), slots + int(rate * AHEAD)))
    if starved and current < limit:
        return min(limit, current * 2)
    return limit if current > limit * 2 else max(current, first(slots))
