"""The seam between the runner and a queue engine: what a source takes and gives, in frozen values.

A source hands out jobs under a lease, takes settlements back, and publishes. The runner's dispatch knows nothing else
about Postgres, memory or a broker; ``tests/conformance`` runs the same expectations against every source.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple, Protocol, TypedDict

from workerpool.errors import SourceUnavailable
from workerpool.outcome import Outcome


class Job(NamedTuple):
    """One claimed job.

    ``id`` is unique within its source. ``attempts`` counts failed attempts so far (0 at the first run), ``crashes``
    the leases that ended without a word. ``payload`` and ``headers`` are JSON text. ``waited`` is the time in seconds
    from becoming claimable to this claim, by the source's clock. ``handle`` is the source's own (fencing token,
    delivery tag): nobody else looks into it.
    """

    queue: str
    id: int
    attempts: int
    crashes: int
    priority: int
    payload: str
    headers: str | None
    waited: float
    expired: bool
    handle: Any


class Settlement(NamedTuple):
    """The outcome of one attempt, how long the handler ran (seconds) and which worker it was."""

    job: Job
    outcome: Outcome
    duration: float
    worker: str


class PartlySettled(SourceUnavailable):
    """Some outcomes are settled. ``refused`` are not, because of ``cause``; ``stale``: as ``settle`` returns it."""

    def __init__(self, cause: Exception, stale: Sequence[Job], refused: Sequence[Settlement]) -> None:
        """Says what the cause says."""
        self.cause = cause
        self.stale = stale
        self.refused = refused
        super().__init__(str(cause))


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue that this runner consumes and the topic whose messages it gets a copy of (equal when ungrouped)."""

    topic: str
    queue: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to enqueue. ``payload``: JSON text. ``delay`` and ``expires_in``: seconds from now by the source's clock.

    ``unique_key``: at most one unfinished job per queue and key. Higher ``priority`` runs first (-100 to 100).
    """

    payload: str
    priority: int = 0
    delay: float = 0.0
    expires_in: float | None = None
    unique_key: str | None = None
    headers: str | None = None


class JobOptions(TypedDict, total=False):
    """What may be said of a job that is sent, beside its payload; see ``Producer.send``."""

    priority: int
    delay: float | timedelta
    expires_in: float | timedelta | None
    unique_key: str | None
    headers: Mapping[str, str] | None


class SendOptions(JobOptions, total=False):
    """The same, with the caller's transaction (a connection of asyncpg or psycopg)."""

    connection: Any


class Enqueued(NamedTuple):
    """A job's id and whether an unfinished job with the same unique key was already there (then it is that one's)."""

    id: int
    duplicate: bool


class Publisher(Protocol):
    """Puts jobs on queues. A name with subscribed groups gets one copy per group."""

    outside_transactions: ClassVar[str | None]
    """Why this engine has no part in a database transaction of the caller, with the cure; None when it has."""

    async def enqueue(self, queue: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Durable when it returns. Raises PayloadError, SourceUnavailable, SchemaError."""
        ...

    async def enqueue_chunks(self, queue: str, chunks: Iterable[Sequence[NewJob]]) -> int:
        """Enqueues chunk after chunk, none asked for before the last one is sent; returns how many. As ``enqueue``."""
        ...

    async def close(self) -> None:
        """Gives back the connection."""
        ...


class JobSource(Protocol):
    """Hands out jobs under a lease and settles them."""

    async def open(self, subscriptions: Sequence[Subscription], held: Callable[[], Sequence[Job]]) -> None:
        """Connects, declares the subscriptions and starts lease renewal for whatever ``held`` returns.

        ``held`` may be called from another thread.
        """
        ...

    async def claim(self, wants: Mapping[str, int]) -> list[Job]:
        """At most ``wants[queue]`` jobs per queue, highest priority first; at once, empty when none is ready."""
        ...

    async def wait(self, timeout: float) -> bool:
        """Until a queue may have work (True) or ``timeout`` seconds passed (False)."""
        ...

    def wake(self) -> None:
        """Ends a ``wait`` now."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[Job]:
        """Carries out the outcomes durably; returns the jobs whose lease was lost (nothing was changed for those).

        Raises PartlySettled when the server takes only some of them: others are not to wait for those.
        """
        ...

    async def mark(self, job: Job) -> bool:
        """Says durably that a job which crashed before is about to start, so that another crash is charged to it.

        Jobs that were merely held when their process died stay uncharged. False: the lease is lost, don't start it.
        """
        ...

    async def progress(self, job: Job, state: str, percent: int | None, data: str | None) -> None:
        """Records an event of a running job. Raises LeaseLost when the attempt no longer owns it."""
        ...

    async def retire(self) -> None:
        """No further claim comes: what this process took ahead without a claim goes back now. Raises SourceError."""
        ...

    async def close(self) -> None:
        """Stops renewal and gives back connections; settles nothing."""
        ...

    def on_fenced(self, callback: Callable[[Sequence[Job]], None]) -> None:
        """``callback`` is told, in the loop that opened the source, the jobs whose lease can't be renewed in time."""
        ...

    def on_cancelled(self, callback: Callable[[Sequence[Job]], None]) -> None:
        """``callback`` is told, in the same loop, the held jobs that somebody cancelled: they are gone."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the last exchange with the server succeeded (feeds /ready, never /live)."""
        ...

    @property
    def detail(self) -> str:
        """Which server it is, or why it isn't reached, without secrets (shown by /health); may be empty."""
        ...

    @property
    def deaf(self) -> bool:
        """Whether work waits on a server that is reached, and nothing that this process can do makes it come.

        Feeds /live. ``detail`` and ``deaf`` may be asked for from another thread.
        """
        ...
