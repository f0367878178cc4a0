"""How many crashes to charge a job with, from what the broker and the marks say: pure.

The broker counts deliveries that ended without an acknowledgement. The first such end is always charged, since nobody
could have known. Later ones are charged only if the job was about to start under that delivery: a job that merely
waited in a runner that died is not to blame.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from workerpool_contract.rabbitmq import HEADER_DELIVERIES

HEADER_ACQUIRED: Final = "x-acquired-count"
"""From 4.3 on a quorum queue gives this one alone with what was only returned."""


def delivery_number(headers: Mapping[str, Any], *, redelivered: bool) -> int:
    """How often a message was delivered before this delivery. ``headers``: its AMQP headers."""
    if not redelivered:
        # A count that a dead letter of another queue brought along is not this queue's.
        return 0
    if is_uncounted(headers, redelivered=redelivered):
        return 1
    count = headers.get(HEADER_DELIVERIES)
    return count if type(count) is int and count > 0 else 0


def is_uncounted(headers: Mapping[str, Any], *, redelivered: bool) -> bool:
    """Whether a message came again from a queue that counts no deliveries: a classic one.

    Only a copy can remember its crashes then.
    """
    return redelivered and HEADER_DELIVERIES not in headers and HEADER_ACQUIRED not in headers


def charged(before: int, deliveries: int, marked: AbstractSet[int], forgiven: AbstractSet[int]) -> int:
    """The crashes of a job that came with ``before`` of them and was delivered ``deliveries`` times since.

    ``marked``: the deliveries (from 0) under which it was about to start. ``forgiven``: those that ended harmlessly.
    """
    if not deliveries:
        return before
    ended = [number for number in range(deliveries) if number not in forgiven]
    if not ended:
        return before
    guilty = sum(1 for number in ended if number in marked)
    return before + guilty + (1 if before == 0 and ended[0] not in marked else 0)
