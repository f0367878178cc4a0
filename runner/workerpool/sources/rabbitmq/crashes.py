"""How many crashes to charge a job with, from what the broker and the marks say: pure.

The broker counts deliveries that ended without an acknowledgement. The first such end is always charged, since nobody
could have known. Later ones are charged only if the job was about to start under that delivery: a job that merely
waited in a runner that died is not to blame.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from workerpool_contract.rabbitmq import HEADER_DELIVERIES


def delivery_number(headers: Mapping[str, Any], *, redelivered: bool) -> int:
    """How often a message was delivered before this delivery. ``headers``: its AMQP headers."""
    if not redelivered:
        # A count that a dead letter of another queue brought along is not this queue's.
        return 0
    count = headers.get(HEADER_DELIVERIES)
    return count if type(count) is int and count > 0 else 0


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
