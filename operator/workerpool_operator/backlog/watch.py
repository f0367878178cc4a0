"""What the hub is asked to watch, and what it shows of it. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from workerpool_contract.backlog import Reading, RunnerReport
from workerpool_contract.scaling import Scaling
from workerpool_contract.spec import WorkerPool
from workerpool_operator.observe import Rates

LEAST_CAP, MOST_CAP = 10_000, 100_000
# Seconds between two readings of a queue whose pool sleeps and whose server pushes nothing.
GLANCE = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server of queues and the credential for it, both in ``url``. ``pooled``: no session state, so no push.

    For RabbitMQ also: ``authority``, the certificate of a private authority as PEM text, and where the management API
    and the Prometheus page are (http or https, without a path of their own), None for the usual ports of the host of
    ``url``. An address of the management API without credentials is asked with those of ``url``.

    ``origin``: who named ``url`` (``--url``, a variable, a Secret), empty when that were the fields of a manifest.
    """

    url: str = field(repr=False)
    pooled: bool = False
    authority: str | None = field(default=None, repr=False)
    management: str | None = field(default=None, repr=False)
    prometheus: str | None = field(default=None, repr=False)
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Watch:
    """What one pool wants to know.

    ``interval``: seconds between two readings. ``cap``: count no further. ``asleep``: the pool has no replica, so a
    push wakes it, and nobody runs of whom a report could speak. ``glance``: seconds between two readings while asleep
    of which the pool is told only when there is more to do; for sources that push nothing.
    """

    endpoint: Endpoint
    queue: str
    interval: float
    cap: int
    asleep: bool = False
    glance: float = math.inf


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of one pool's queue.

    ``rates``: None until there were two readings. ``reports``: name of a replica -> what its runner said, None while
    that is unknown or nobody asked. ``silence``: why nobody knows what they said, empty otherwise. ``at``: when the
    reading was taken, in seconds of the hub's clock; no two differ by less than nothing, so a look with another ``at``
    is a fresh one.
    """

    reading: Reading
    rates: Rates | None
    reports: Mapping[str, RunnerReport] | None
    at: float
    silence: str = ""


def watch_of(pool: WorkerPool, endpoint: Endpoint, *, asleep: bool) -> Watch:
    """The watch for a pool whose source is at ``endpoint``."""
    source, scaling = pool.spec.source, pool.spec.scaling
    glance = math.inf if source.rabbitmq is None else GLANCE
    interval = float(scaling.poll_interval_seconds)
    return Watch(endpoint, source.queue, interval, cap_for(scaling), asleep=asleep, glance=glance)


def cap_for(scaling: Scaling) -> int:
    """How far a backlog must be counted so that the pool can reach its maximum."""
    needed = scaling.max_replicas * (scaling.effective_backlog_per_replica or 1) + 1
    return min(MOST_CAP, max(LEAST_CAP, needed))
