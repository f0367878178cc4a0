"""What the operator counts, for Prometheus. Labels are bounded: namespace and pool, and those go when the pool does."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workerpool_contract.backlog import Backlog, Reading
from workerpool_contract.spec import WorkerPool
from workerpool_contract.status import WorkerPoolStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_POOL = ("namespace", "pool")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """What one reconciliation found: ``status`` is the newest, whether it was written or not. ``size``: asked for.

    All but the status is None while the pool's spec can't be used.
    """

    pool: WorkerPool | None
    status: WorkerPoolStatus
    reading: Reading | None
    size: int | None

    @property
    def backlog(self) -> Backlog | None:
        """The reading, None when nobody knows."""
        return self.reading if isinstance(self.reading, Backlog) else None

    @property
    def known(self) -> float | None:
        """1 or 0, None when nobody looked."""
        return None if self.reading is None else float(self.backlog is not None)

    @property
    def maximum(self) -> int | None:
        """The most replicas that the pool may have, None when nobody can tell."""
        return None if self.pool is None else self.pool.spec.scaling.max_replicas


class Metrics:
    """All metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        """Everything at zero; a pool shows up with its first reconciliation."""
        self.registry = CollectorRegistry()
        self._pools: dict[tuple[str, str], PoolFigures] = {}
        self.registry.register(_Pools(self._pools))
        self.reconciles = self._histogram("reconcile_seconds", "Time of one reconciliation.")
        self.errors = self._counter("reconcile_errors", "Reconciliations that failed and are tried again.")
        self.refusals = self._counter("reconcile_refusals", "Reconciliations that the cluster refused.")
        self.writes = self._counter("api_writes", "Writes to the API server.", "resource")
        self.wakeups = self._histogram("wakeup_seconds", "From a reading to the size that ends a pool's time at zero.")
        self.queue_depth = Gauge("workerpool_queue_depth", "Pools that wait for a worker.", registry=self.registry)
        self.leader = Gauge("workerpool_leader", "1 while this process acts, 0 on stand-by.", registry=self.registry)

    def show(self, namespace: str, name: str, figures: PoolFigures) -> None:
        """Publishes what is known of a pool; what is unknown is absent, never zero."""
        self._pools[namespace, name] = figures

    def forget(self, namespace: str, name: str) -> None:
        """Removes a pool that is gone."""
        self._pools.pop((namespace, name), None)

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, words: str) -> Histogram:
        return Histogram(f"workerpool_{name}", words, registry=self.registry, buckets=_SECONDS)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"workerpool_{name}", words, labels, registry=self.registry)


class _Pools(Collector):
    """Gauges of every pool, made when somebody asks."""

    def __init__(self, pools: Mapping[tuple[str, str], PoolFigures]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        for name, (words, value) in _GAUGES.items():
            family = GaugeMetricFamily(f"workerpool_pool_{name}", words, labels=_POOL)
            for labels, figures in self._pools.items():
                if (number := value(figures)) is not None:
                    family.add_metric(labels, number)
            yield family
        words = "Status of a condition: 1 for the present one."
        conditions = GaugeMetricFamily("workerpool_pool_condition", words, labels=(*_POOL, "type", "status"))
        for labels, figures in self._pools.items():
            for condition in figures.status.conditions:
                conditions.add_metric((*labels, condition.type.value, condition.status.value), 1)
        yield conditions


def _of(pick: Callable[[Backlog], float | None]) -> Callable[[PoolFigures], float | None]:
    return lambda figures: None if figures.backlog is None else pick(figures.backlog)


def _in_flight(backlog: Backlog) -> int | None:
    return None if backlog.in_flight_unknown else backlog.in_flight


_GAUGES: dict[str, tuple[str, Callable[[PoolFigures], float | None]]] = {
    "desired_replicas": ("Replicas that the last decision asks for.", lambda it: it.status.desired_replicas),
    "replicas": ("Replicas that the Deployment was last told to run.", lambda it: it.size),
    "ready_replicas": ("Replicas that are ready.", lambda it: it.status.ready_replicas),
    "max_replicas": ("The most replicas that the pool may have.", lambda it: it.maximum),
    "backlog_known": ("1 while the backlog can be read.", lambda it: it.known),
    "backlog_ready": ("Jobs that a runner could claim now; absent while unknown.", _of(lambda it: it.ready)),
    "backlog_age_seconds": ("How far the counts may lag behind the queue.", _of(lambda it: it.age)),
    "backlog_in_flight": ("Jobs that runners hold; absent while unknown.", _of(_in_flight)),
    "backlog_delayed": ("Jobs due later; absent while unknown.", _of(lambda it: it.delayed)),
    "dead_letters": ("Dead letters kept; absent while unknown.", _of(lambda it: it.dead)),
    "oldest_age_seconds": ("Age of the oldest ready job; absent when none is known.", _of(lambda it: it.oldest_age)),
}
