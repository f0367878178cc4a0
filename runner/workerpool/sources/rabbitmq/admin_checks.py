"""The doctor's judgement of a broker: measurements in, a line with its cure out. Pure."""

import shlex
from collections.abc import Collection, Sequence
from typing import Final

from workerpool.sources.checks import Check, Level
from workerpool.sources.rabbitmq.topologyplan import Change, State
from workerpool_contract.rabbitmq import UNROUTED, queue_problem

OLDEST: Final = (3, 10, 0)
NAMED: Final = 20
"""Queues that a line names at most."""
SLOW: Final = 0.5
"""Seconds that a message may take to a queue on disk and back."""


def version(text: str, numbers: tuple[int, int, int]) -> Check:
    """``text``: as the broker says it."""
    shown = f"RabbitMQ {text}"
    if numbers < OLDEST:
        return Check("version", Level.FAIL, shown, "upgrade the broker to 3.10 or newer")
    return Check("version", Level.OK, shown)


def round_trip(seconds: float) -> Check:
    """``seconds``: until a message was confirmed."""
    shown = f"the broker confirmed a message after {seconds * 1000:.0f} ms"
    if seconds > SLOW:
        return Check("messages", Level.WARN, shown, "look at the broker's disk and load: every enqueue waits that long")
    return Check("messages", Level.OK, shown)


def topology(changes: Sequence[Change]) -> Check:
    """``changes``: what all queues share and the queues that are known, as they are on the broker."""
    missing = [it for it in changes if it.state is State.MISSING]
    different = [it for it in changes if it.state is State.DIFFERENT]
    if len(missing) + sum(it.state is State.UNSEEN for it in changes) == len(changes):
        return Check("topology", Level.OK, "nothing is declared yet; the first runner or publisher does it")
    if different or missing:
        parts = [f"{it} differs" for it in different[:3]] + [f"{it.thing} is missing" for it in missing[:3]]
        more = len(different) + len(missing) - len(parts)
        shown = "; ".join(parts) + (f"; and {more} more" if more else "")
        return Check("topology", Level.WARN, shown, "see `workerpool topology plan QUEUE`, then `topology apply QUEUE`")
    return Check("topology", Level.OK, "all is declared as it should be")


def unrouted(count: int, queues: Collection[str]) -> Check:
    """``count``: jobs whose lane was gone when their time had come; ``queues``: some of those that they belong to."""
    if not count:
        return Check("unrouted", Level.OK, "no job waits for a queue that is gone")
    # Anybody may have written the names.
    names = sorted(it for it in queues if queue_problem(it) is None)
    strange = [repr(it) for it in sorted(set(queues) - set(names))]
    told = [*names, *strange]
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    shown = f"{count} jobs wait in {UNROUTED} for queues that were gone: {', '.join(told[:NAMED]) or 'unknown'}{more}"
    cure = (
        f"`workerpool topology apply {shlex.join(names[:NAMED]) or 'QUEUE'}` as a user who may declare; a runner of "
        "any queue puts them there within five minutes, one that starts does at once"
    )
    return Check("unrouted", Level.WARN, shown, cure)


def management(shown: str, error: str | None) -> Check:
    """``shown``: where the API is; ``error``: why it can't be used, None when it can."""
    if error is None:
        return Check("management", Level.OK, f"{shown} answers")
    cure = "set WORKERPOOL_RABBITMQ_MANAGEMENT_URL; without it nobody sees what other programs hold of a queue"
    return Check("management", Level.WARN, error, cure)
