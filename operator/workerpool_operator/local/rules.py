"""How long the local platform waits before it starts a crashed runner again. Pure."""

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
# A runner that worked this long before it ended starts the count of crashes again, in seconds.
STEADY_AFTER = 60.0


def restart_delay(crashes: int) -> float:
    """Seconds to wait before the next start after ``crashes`` ends in a row (1 or more)."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(crashes - 1, 16))


def crashes_in_a_row(before: int, lived: float) -> int:
    """The count after one more end of a runner that lived ``lived`` seconds."""
    return 1 if lived >= STEADY_AFTER else before + 1
