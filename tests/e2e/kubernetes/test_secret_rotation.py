"""The database's password is rotated under a working pool: the old one is valid until the new one is used."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e.kubernetes.conftest import NewPool
from tests.e2e.kubernetes.pool import Pool, secret
from tests.e2e.kubernetes.release import Operator
from tests.e2e.kubernetes.runs import assert_each_ran_once
from tests.e2e.kubernetes.supply import Supply
from tests.e2e.kubernetes.watching import steps, watched_condition, watched_size
from tests.support.patience import until
from tests.support.postgres import USER, Server

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]

JOBS = 300
LITTLE = 50
LEAST = 100
LARGEST = 3
OLD, NEW = "before_rotation", "after_rotation"
WITHIN = 60
"""Seconds within which the operator uses a new value of a Secret, on a machine that stands still at times."""


SLOW = "took too long to answer"
"""Why a backlog is unknown on a machine that stands still; who is turned away reads something else."""


@pytest.fixture
def passwords(cluster_postgres: Server) -> Iterator[dict[str, str]]:
    """The two users between whom a pool is moved, with passwords of their own; everything they do, ``USER`` does."""
    given = {role: f"of-{role}-{uuid4().hex}" for role in (OLD, NEW)}
    for role, password in given.items():
        cluster_postgres.execute(f"create role {role} login password '{password}' in role {USER}")
        cluster_postgres.execute(f"alter role {role} set role to {USER}")
    yield given
    for role in given:
        cluster_postgres.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'")
        cluster_postgres.execute(f"drop role {role}")


@pytest.fixture
def urls(cluster_database: str, cluster_postgres: Server, passwords: dict[str, str]) -> dict[str, str]:
    """How either user reaches the database of this test."""
    known = f"{USER}:{cluster_postgres.password}@"
    return {role: cluster_database.replace(known, f"{role}:{password}@") for role, password in passwords.items()}


def sessions(server: Server, role: str, program: str = "") -> int:
    """How many connections a user has, of one program or of all."""
    condition = f"usename = '{role}' and application_name like '{program}%'"
    ((count,),) = server.execute(f"select count(*) from pg_stat_activity where {condition}")
    return int(str(count))


def test_password_changes_while_jobs_run(
    operator: Operator, new_pool: NewPool, cluster_postgres: Server, urls: dict[str, str]
) -> None:
    pool = new_pool(queue="long", worker={"concurrency": 2}, scaling={"maxReplicas": LARGEST, "backlogPerReplica": 1})
    operator.cluster.apply(secret(urls[OLD]), pool.namespace)
    until(lambda: sessions(cluster_postgres, OLD, "workerpool operator"), WITHIN, operator.logs)
    said = len(cluster_postgres.log.read_text(errors="replace"))
    jobs = Supply(pool, seconds=0.5, least=LEAST)

    with watched_size(pool) as sizes, watched_condition(pool, "ScalingActive") as active:
        jobs.add(JOBS)
        until(lambda: pool.settled() > LITTLE, WITHIN, pool.story)
        operator.cluster.apply(secret(urls[NEW]), pool.namespace)
        until(jobs.during(lambda: sessions(cluster_postgres, NEW, "workerpool operator")), WITHIN, operator.logs)
        until(jobs.during(lambda: not sessions(cluster_postgres, OLD)), 4 * WITHIN, pool.story)
        cluster_postgres.execute(f"alter role {OLD} nologin")
        assert steps(sizes) == [0, LARGEST]
        pool.wait_settled(jobs.count, 2 * WITHIN)
        pool.wait_asleep(2 * WITHIN)
    assert_each_ran_once(pool.runs(), jobs.count)
    assert len({run.pod for run in pool.runs()}) == 2 * LARGEST
    assert [words for words in active if not words.startswith("True BacklogKnown") and SLOW not in words] == []
    assert "SecretRotated" in [reason for reason, _ in pool.events()]
    assert_no_refused_login(cluster_postgres, said)
    assert_no_password(operator, pool, urls)


def assert_no_refused_login(server: Server, begin: int) -> None:
    """Nobody was turned away since the server's log was ``begin`` characters long."""
    lines = server.log.read_text(errors="replace")[begin:].splitlines()
    refused = ("authentication failed", "FATAL:  role ")
    assert [line for line in lines if any(words in line for words in refused)] == []


def assert_no_password(operator: Operator, pool: Pool, urls: dict[str, str]) -> None:
    """No object and no line of the log says one."""
    texts = (str(pool.get()), str(pool.deployment()), str(pool.events()), operator.logs())
    passwords = [url.split(":")[2].split("@")[0] for url in urls.values()]
    assert all(password.startswith("of-") for password in passwords)
    assert not any(password in text for password in passwords for text in texts)
