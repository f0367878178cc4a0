"""Delays as steps down a ladder of wait queues: pure arithmetic.

A quorum queue dead-letters from its head only, so each wait queue holds one constant time. A message takes the longest
step that fits into what remains; whoever gets it early sends it down the next one.
"""

from bisect import bisect_right
from typing import Final

from workerpool_contract.rabbitmq import WAITS

KEPT: Final = 1.0
"""Seconds: what is due within this is kept by the runner that got it, no queue is that exact."""
_STEPS: Final = [wait.seconds for wait in WAITS]


def wait_exchange(remaining: float) -> str:
    """The exchange to publish to, with the lane as routing key, for what is due in ``remaining`` seconds.

    The default exchange (an empty name) for what is due within a second.
    """
    place = bisect_right(_STEPS, remaining)
    return WAITS[place - 1].name if place and remaining > KEPT else ""
