"""What the probes say about one runner, decided from values; `workerpool.probe_server` serves it over HTTP.

Three questions are kept apart, since each has another cure. ``/live``: is this process stuck, so that only a restart
helps? (The event loop is late, or the dispatcher stopped turning although there is work it could claim.) A server that
is down is never a reason: a restart would not bring it back. ``/ready``: does it consume? (Connected, consuming, not
draining; a busy runner is ready.) ``/health``: every check with its detail, for people and for the local platform.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from workerpool.exposition import QueueCountsReader, queue_json, render
from workerpool.metrics import Gauges, Metrics

HEARTBEAT_SECONDS: Final = 0.5


class Answer(NamedTuple):
    """What one probe says: 200 when ``ok``, else 503, with ``body`` as JSON."""

    ok: bool
    body: Mapping[str, Any]


class Probes(Protocol):
    """The endpoints of a process; each method is called in a thread of the server and returns at once."""

    def live(self) -> Answer:
        """Not ok: only a restart helps."""
        ...

    def ready(self) -> Answer:
        """Ok while the process consumes."""
        ...

    def health(self) -> Answer:
        """Every check, in the shape that docs/probes-and-metrics.md shows."""
        ...

    def metrics_text(self) -> str:
        """The Prometheus exposition."""
        ...

    def metrics_json(self) -> Mapping[str, Any]:
        """The same for people and scripts: ``worker``, ``queue``, ``timestamp``."""
        ...


@dataclass(frozen=True, slots=True)
class RunnerStatus:
    """What the runner is doing now. ``has_capacity``: it could claim a job.

    ``detail`` says which server it is connected to, or why it isn't. ``deaf``: the server has work and is reached, and
    yet nothing comes.
    """

    is_running: bool
    queues: tuple[str, ...]
    concurrency: int
    busy: int
    buffered: int
    draining: bool
    connected: bool
    consuming: bool
    has_capacity: bool
    pid: int
    boot: str
    detail: str = ""
    oldest_job_seconds: float | None = None
    deaf: bool = False

    @property
    def should_turn(self) -> bool:
        """Whether the dispatcher ought to be asking for work."""
        return self.is_running and self.connected and self.consuming and self.has_capacity and not self.draining


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (seconds) the event loop may be late, and the dispatcher may stand still while it should turn."""

    loop_lag: float = 30.0
    deaf: float = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of /health."""

    ok: bool
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The three answers and the checks that they rest on."""

    live: bool
    ready: bool
    status: str
    checks: Mapping[str, Check]


def judge(
    status: RunnerStatus, lag: float, still: float, limits: Limits, more: Mapping[str, Check] = MappingProxyType({})
) -> Verdict:
    """The verdict on a runner whose loop is ``lag`` seconds late and whose dispatcher stood still for ``still``.

    ``more``: checks that make it unhealthy, but neither not live nor not ready.
    """
    loop_ok = lag <= limits.loop_lag
    stuck = status.should_turn and still > limits.deaf
    deaf = stuck or status.deaf
    consuming = status.is_running and status.consuming and not deaf
    checks = {
        "loop": Check(loop_ok, {"lagSeconds": round(lag, 3)}),
        "source": Check(status.connected, {"detail": status.detail}),
        "consuming": Check(consuming or status.draining, _deafness(status, still, stuck=stuck)),
        **more,
    }
    healthy = all(check.ok for check in checks.values())
    return Verdict(
        live=loop_ok and not deaf,
        # Kubernetes ends pods that aren't ready first: one with a job must not become one when its server goes away.
        ready=(status.connected or status.busy > 0) and consuming and not status.draining,
        status=("draining" if status.draining else "healthy") if healthy else "unhealthy",
        checks=checks,
    )


def _deafness(status: RunnerStatus, still: float, *, stuck: bool) -> Mapping[str, Any]:
    if status.deaf:
        return {"detail": "jobs are ready and none is delivered, not even over a new channel"}
    return {"idleTurnSeconds": round(still, 3)} if stuck else {}


class Pulse:
    """Signs of life that the loop leaves for the probe thread: when it last woke, when the dispatcher last turned."""

    def __init__(self, clock: Callable[[], float], observe_lag: Callable[[float], None] = lambda _lag: None) -> None:
        """``clock``: monotonic seconds. ``observe_lag``: told (seconds) how late each wake-up came."""
        self._clock = clock
        self._observe_lag = observe_lag
        self._beat = self._turned = clock()

    def turned(self) -> None:
        """The dispatcher went round once (whether or not it found work)."""
        self._turned = self._clock()

    def beat(self, *, should_turn: bool) -> None:
        """The loop woke up; time in which the dispatcher has no reason to turn is not held against it."""
        self._beat = self._clock()
        if not should_turn:
            self._turned = self._beat

    async def run(self, should_turn: Callable[[], bool]) -> None:
        """Beats every half second until cancelled; runs in the loop that is watched."""
        while True:
            before = self._clock()
            self.beat(should_turn=should_turn())
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._observe_lag(max(0.0, self._clock() - before - HEARTBEAT_SECONDS))

    @property
    def lag(self) -> float:
        """How late the loop is now (seconds)."""
        return max(0.0, self._clock() - self._beat - HEARTBEAT_SECONDS)

    @property
    def still(self) -> float:
        """Time since the dispatcher turned or had no reason to (seconds)."""
        return max(0.0, self._clock() - self._turned)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerProbes:
    """The probes of one runner process; see `Probes`.

    ``status``, ``queue_counts``, ``more_checks`` and ``more_metrics`` are called in the probe's thread and must not
    block; ``now`` is the wall clock.
    """

    status: Callable[[], RunnerStatus]
    pulse: Pulse
    metrics: Metrics
    now: Callable[[], datetime]
    limits: Limits = Limits()
    queue_counts: QueueCountsReader = lambda: None
    more_checks: Callable[[], Mapping[str, Check]] = dict
    more_metrics: Callable[[], str] = str

    def live(self) -> Answer:
        """Not ok when the loop is late beyond its limit or the dispatcher is deaf."""
        verdict = self._verdict(self.status())
        return Answer(verdict.live, self._body("live" if verdict.live else "stuck", verdict))

    def ready(self) -> Answer:
        """Ok when connected, consuming and not draining."""
        status = self.status()
        verdict = self._verdict(status)
        word = "ready" if verdict.ready else "draining" if status.draining else "not ready"
        return Answer(verdict.ready, self._body(word, verdict))

    def health(self) -> Answer:
        """All checks and what the worker is doing; draining is healthy."""
        status = self.status()
        verdict = self._verdict(status)
        body = self._body(verdict.status, verdict)
        return Answer(
            verdict.status != "unhealthy", {"status": body.pop("status"), "worker": self._worker(status)} | body
        )

    def metrics_text(self) -> str:
        """The Prometheus exposition."""
        return render(self.metrics, gauges_of(self.status())) + self.more_metrics()

    def metrics_json(self) -> Mapping[str, Any]:
        """``worker``, ``queue`` and ``timestamp``."""
        status = self.status()
        queue = queue_json(self.metrics, gauges_of(status), self.queue_counts())
        return {"worker": self._worker(status), "queue": queue, "timestamp": iso(self.now())}

    def _verdict(self, status: RunnerStatus) -> Verdict:
        return judge(status, self.pulse.lag, self.pulse.still, self.limits, self.more_checks())

    def _body(self, word: str, verdict: Verdict) -> dict[str, Any]:
        checks = {name: {"ok": check.ok, **check.detail} for name, check in verdict.checks.items()}
        return {"status": word, "checks": checks, "timestamp": iso(self.now())}

    def _worker(self, status: RunnerStatus) -> dict[str, Any]:
        return {
            "isRunning": status.is_running,
            "queueName": ",".join(status.queues),
            "queues": list(status.queues),
            "concurrency": status.concurrency,
            "busy": status.busy,
            "buffered": status.buffered,
            "draining": status.draining,
            "pid": status.pid,
            "boot": status.boot,
            "oldestJobSeconds": status.oldest_job_seconds,
            "completed": self.metrics.completed,
            "failed": self.metrics.failed,
            "serviceSeconds": self.metrics.service_seconds,
        }


def gauges_of(status: RunnerStatus) -> Gauges:
    """The gauges of /metrics out of the status."""
    return Gauges(
        busy=status.busy,
        buffered=status.buffered,
        concurrency=status.concurrency,
        draining=status.draining,
        connected=status.connected,
    )


def iso(moment: datetime) -> str:
    """``moment`` (UTC) as ``2024-01-31T23:00:00.000Z``."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
