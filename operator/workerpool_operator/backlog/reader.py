"""What the hub needs of a reader: one endpoint, many queues, and word of what happens between two readings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from workerpool_contract.backlog import BacklogReader
from workerpool_operator.backlog.watch import Endpoint


@dataclass(frozen=True, slots=True)
class Signals:
    """Called by a reader between readings. ``pushed``: a job arrived in this queue. ``lost``: the connection is gone.

    After ``lost`` pushes stay away until the next reading has opened the connection again.
    """

    pushed: Callable[[str], None]
    lost: Callable[[], None]


class Reader(BacklogReader, Protocol):
    """Reads the queues of one endpoint; used from one task at a time. ``cap``: how far it counts per queue."""

    cap: int


OpenReader = Callable[[Endpoint, Signals], Reader]
"""Makes a reader; connects nowhere before the first reading."""
