"""Any order of claims, lost leases, renewals and outcomes: a job ends exactly once, and only by its present holder."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from tests.integration.crash.conftest import Scene
from workerpool.outcome import (
    SUCCEEDED,
    DeadLetter,
    DeadReason,
    Expired,
    Interrupted,
    Outcome,
    Output,
    Retry,
    Succeeded,
)
from workerpool.sources.base import Job, Settlement, Subscription
from workerpool.sources.postgres.connection import Endpoint
from workerpool.sources.postgres.encoding import columns
from workerpool.sources.postgres.source import PostgresSource
from workerpool.sources.postgres.upkeep import Identity, Lease

pytestmark = pytest.mark.crash

T = TypeVar("T")

HOUR = 3600.0
"""Leases and delays end when the test says so, never by themselves."""
QUEUE = "mixed"
SOURCES = 3
OUTCOMES: tuple[Outcome, ...] = (
    SUCCEEDED,
    Succeeded('{"kept": 1}', (Output("after", "1"),)),
    DeadLetter(DeadReason.ERROR, "no"),
    Expired(),
    Retry(HOUR, "later"),
    Interrupted(),
)


@dataclass
class Bench:
    """Three sources on one queue, a loop to run them in, and a connection to play the part of time."""

    loop: asyncio.Runner
    sources: list[PostgresSource]
    admin: "asyncpg.Connection[asyncpg.Record]"
    queue_id: int

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs one exchange to its end."""
        return self.loop.run(work)

    def ask(self, statement: str, *values: object) -> Any:
        """One value from the server."""
        return self.run(self.admin.fetchval(statement, *values))


def new_source(url: str) -> PostgresSource:
    return PostgresSource(Endpoint(url), Identity(uuid4(), "source", "here", 1, "0"), Lease(HOUR, lambda: 0.0))


@pytest.fixture
def bench(scene: Scene) -> Iterator[Bench]:
    with asyncio.Runner() as loop:
        sources = [new_source(scene.tables.url) for _ in range(SOURCES)]
        for source in sources:
            loop.run(source.open([Subscription(QUEUE, QUEUE)], list))
        admin = loop.run(asyncpg.connect(scene.tables.url))
        number = loop.run(admin.fetchval("select workerpool.queue_id($1)", QUEUE))
        yield Bench(loop, sources, admin, number)
        for source in sources:
            loop.run(source.close())
        loop.run(admin.close())


class Claim(NamedTuple):
    """A job as one source got it; it goes on believing that it holds the job."""

    source: int
    job: Job

    @property
    def token(self) -> tuple[int, int]:
        """Who holds the job under which claim."""
        return (self.source, self.job.handle.claim)


@dataclass
class Known:
    """What the model knows of a job: its place, its holder, whether the lease ran out, and what was charged."""

    place: str = "hot"
    holder: tuple[int, int] | None = None
    is_late: bool = False
    is_marked: bool = False
    attempts: int = 0
    crashes: int = 0

    @property
    def is_claimable(self) -> bool:
        """Whether the next claim must find it."""
        return self.place == "hot" and (self.holder is None or self.is_late)

    def claim(self, holder: tuple[int, int]) -> None:
        """Its lease ran out, if it had one: a crash, unless it crashed before and had not been marked."""
        if self.holder is not None and (self.crashes == 0 or self.is_marked):
            self.crashes += 1
        self.holder, self.is_late, self.is_marked = holder, False, False

    def settle(self, outcome: Outcome) -> None:
        """Its holder says what became of it."""
        self.holder, self.is_late, self.is_marked = None, False, False
        if isinstance(outcome, Retry):
            self.place, self.attempts = "delayed", self.attempts + 1
        elif not isinstance(outcome, Interrupted):
            self.place = "dead" if isinstance(outcome, DeadLetter) else "ended"


class Interleavings(RuleBasedStateMachine):
    """Compares every answer of the server with a model of one dictionary."""

    claims: Bundle[Claim] = Bundle("claims")

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.known: dict[int, Known] = {}
        self.outputs = 0
        for table in ("job", "delayed", "dead", "history"):
            bench.run(bench.admin.execute(f"delete from workerpool.{table}"))

    @rule(number=st.integers(1, 4))
    def enqueue(self, number: int) -> None:
        rows = self.bench.run(
            self.bench.admin.fetch("select id from workerpool.enqueue_many($1, $2::json[])", QUEUE, ["{}"] * number)
        )
        self.known.update((row["id"], Known()) for row in rows)

    @rule(target=claims, number=st.integers(0, SOURCES - 1), limit=st.integers(1, 5))
    def claim(self, number: int, limit: int) -> Any:
        jobs = self.bench.run(self.bench.sources[number].claim({QUEUE: limit}))
        claimable = [id_ for id_ in sorted(self.known) if self.known[id_].is_claimable]
        assert sorted(job.id for job in jobs) == claimable[:limit]
        claims = [Claim(number, job) for job in jobs]
        for claim in claims:
            self.known[claim.job.id].claim(claim.token)
            assert (claim.job.attempts, claim.job.crashes) == (
                self.known[claim.job.id].attempts,
                self.known[claim.job.id].crashes,
            )
        return multiple(*claims)

    @rule(batch=st.lists(st.tuples(claims, st.sampled_from(OUTCOMES)), min_size=1, max_size=4))
    def settle(self, batch: list[tuple[Claim, Outcome]]) -> None:
        """Late, again, and by former holders too: those must change nothing."""
        number = batch[0][0].source
        mine = {claim.job.id: (claim, outcome) for claim, outcome in batch if claim.source == number}
        told = self.bench.run(
            self.bench.sources[number].settle([Settlement(it.job, outcome, 0.1, "w") for it, outcome in mine.values()])
        )
        stale = {id_ for id_, (it, _) in mine.items() if self.known[id_].holder != it.token}
        assert {job.id for job in told} == stale
        for id_, (_, outcome) in mine.items():
            if id_ not in stale:
                self.known[id_].settle(outcome)
                self.outputs += bool(getattr(outcome, "outputs", ()))

    @rule(claim=claims)
    def lose_lease(self, claim: Claim) -> None:
        """Time passes for one holder's lease."""
        ask = "update workerpool.job set lease_until = '-infinity' where id = $1 and claim = $2 and boot = $3"
        boot = self.bench.sources[claim.source].identity.boot
        self.bench.run(self.bench.admin.execute(ask, claim.job.id, claim.job.handle.claim, boot))
        known = self.known[claim.job.id]
        known.is_late = known.is_late or known.holder == claim.token

    @rule(claim=claims)
    def extend(self, claim: Claim) -> None:
        boot = self.bench.sources[claim.source].identity.boot
        ask = "select workerpool.extend($1, $2, $3, $4, $5, interval '1 hour')"
        lost = self.bench.ask(ask, boot, *columns([claim.job]))
        known = self.known[claim.job.id]
        assert lost == ([] if known.holder == claim.token else [claim.job.id])
        if not lost:
            known.is_late = False

    @rule(claim=claims)
    def mark(self, claim: Claim) -> None:
        known = self.known[claim.job.id]
        assert self.bench.run(self.bench.sources[claim.source].mark(claim.job)) == (known.holder == claim.token)
        known.is_marked = known.is_marked or known.holder == claim.token

    @rule(claim=claims)
    def disown(self, claim: Claim) -> None:
        """The answer of a whole claim was lost."""
        boot = self.bench.sources[claim.source].identity.boot
        self.bench.ask("select workerpool.disown($1, $2, $3)", boot, claim.job.handle.claim, [self.bench.queue_id])
        for known in self.known.values():
            if known.holder == claim.token:
                known.settle(Interrupted())

    @rule()
    def delays_pass(self) -> None:
        self._promote()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        places = {
            "hot": "job",
            "delayed": "delayed",
            "dead": "dead",
            "ended": "history where state <> 'dead' and queue_id =",
        }
        for place, table in places.items():
            where = (
                f"{table} {self.bench.queue_id}" if " " in table else f"{table} where queue_id = {self.bench.queue_id}"
            )
            ids = self.bench.ask(f"select array(select id from workerpool.{where} order by id)")
            assert ids == [id_ for id_ in sorted(self.known) if self.known[id_].place == place], place

    def teardown(self) -> None:
        """Whatever happened before, a last source brings every job to its end."""
        self._promote()
        self.bench.run(self.bench.admin.execute("update workerpool.job set lease_until = now() - interval '1 s'"))
        for known in self.known.values():
            known.is_late = True
        source = self.bench.sources[0]
        jobs = self.bench.run(source.claim({QUEUE: 1000}))
        assert self.bench.run(source.settle([Settlement(job, SUCCEEDED, 0.1, "w") for job in jobs])) == []
        ended = self.bench.ask(
            "select array(select id from workerpool.history where queue_id = $1 order by id)", self.bench.queue_id
        )
        assert ended == sorted(self.known)
        after = self.bench.ask("select count(*) from workerpool.job where queue_id <> $1", self.bench.queue_id)
        assert after == self.outputs, "an output was published twice, or for a stale outcome, or not at all"

    def _promote(self) -> None:
        bench = self.bench
        bench.run(bench.admin.execute("begin; update workerpool.delayed set due_at = now() - interval '1 s'"))
        bench.ask("select moved from workerpool.promote($1)", [bench.queue_id])
        bench.run(bench.admin.execute("commit"))
        for known in self.known.values():
            if known.place == "delayed":
                known.place = "hot"


@pytest.mark.timeout(600)  # a failure takes minutes to be cut down to its shortest example
def test_any_interleaving_of_sources_ends_each_job_once(bench: Bench) -> None:
    run_state_machine_as_test(
        lambda: Interleavings(bench),  # type: ignore[arg-type]  # documented: a callable that makes the machine
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
