"""The database of a pool is away for a minute: the size is held, the reason is told, all goes on by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.cluster.api import Cluster
from tests.cluster.fixtures import PASSWORD
from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.containers import restarts
from tests.e2e.kubernetes.pool import Pool
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import Run
from tests.e2e.kubernetes.watching import steps, watched_condition, watched_size
from tests.support.patience import throughout, until
from tests.support.postgres import Server, throw_away

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 300
OUTAGE = 60
LARGEST = 3
SECONDS = 60


@pytest.fixture
def fragile(cluster: Cluster) -> Iterator[Server]:
    """A server that may be stopped."""
    with throw_away(host=cluster.node_address, password=PASSWORD) as server:
        yield server


@pytest.fixture
def cluster_database(fragile: Server) -> str:
    """The database of this test's pools is on that server."""
    return fragile.url(fragile.create_database())


def in_flight(runs: list[Run], leaving: datetime, gone: datetime) -> set[int]:
    """Jobs whose run was not certainly over, and noted as such, when the server went between these two times."""
    surely_noted = leaving - timedelta(seconds=10)
    return {run.n for run in runs if run.began < gone and (run.ended is None or run.ended > surely_noted)}


def assert_nothing_lost(pool: Pool, leaving: datetime, gone: datetime) -> None:
    """Every job ended well, once; only what the outage cut off was begun again."""
    assert [row["n"] for row in pool.tables.history() if row["state"] != "completed"] == []
    assert sorted(row["n"] for row in pool.tables.history()) == list(range(JOBS))
    assert pool.tables.dead() == []
    runs = pool.runs()
    assert {run.n for run in runs if run.how == "finished"} == set(range(JOBS))
    first = {run.n: run for run in reversed(runs)}
    again = {run.n for run in runs if first[run.n] is not run}
    assert again <= in_flight(runs, leaving, gone)


def test_no_database_for_a_minute(operator: Operator, new_pool: NewPool, fragile: Server) -> None:
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={"maxReplicas": LARGEST, "backlogPerReplica": 1})
    with watched_size(pool) as sizes, watched_condition(pool, "ScalingActive") as active:
        pool.enqueue(JOBS, seconds=0.5)
        until(lambda: pool.settled() > JOBS / 10, SECONDS, pool.story)
        leaving = datetime.now(UTC)
        fragile.stop()
        gone = datetime.now(UTC)
        until(lambda: pool.condition("ScalingActive")["reason"] == "BacklogUnknown", SECONDS, operator.logs)
        throughout(lambda: steps(sizes) == [0, LARGEST], OUTAGE - (datetime.now(UTC) - gone).seconds, "the size stays")
        condition = pool.condition("ScalingActive")
        assert (condition["status"], condition["reason"]) == ("False", "BacklogUnknown")
        assert fragile.host in condition["message"]
        assert sum(map(restarts, pool.pods())) == 0
        fragile.start()
        until(lambda: pool.condition("ScalingActive")["status"] == "True", SECONDS, pool.story)
        until(lambda: pool.settled() > JOBS / 3, 2 * SECONDS, pool.story)
        # Two thirds are still to do: whatever the machine is busy with, no replica is one too many yet.
        assert steps(sizes) == [0, LARGEST]
        pool.wait_settled(JOBS, 2 * SECONDS)
    assert max(sizes) == LARGEST
    assert_nothing_lost(pool, leaving, gone)
    told = [reason for reason, _ in pool.events() if reason in {"BacklogUnknown", "BacklogKnown"}]
    assert told.count("BacklogUnknown") >= 1
    # Told once for each time, and a slow machine may have more than the one outage.
    assert told[-1] == "BacklogKnown"
    said = [*active, *(message for _, message in pool.events()), operator.logs()]
    assert [words for words in said if PASSWORD in words] == []
