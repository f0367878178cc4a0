"""Who is measured, and at which settings."""

from __future__ import annotations

from benchmarks.model import Contender, Setting

_GRAPHILE_PLAIN = {"concurrency": 10, "localQueue": 0, "completeJobBatchDelay": -1}

LIMIT = Contender(
    name="bare asyncpg loop",
    language="Python",
    environment="project",
    package="asyncpg",
    program="benchmarks.peers.limit_peer",
    unfinished="SELECT EXISTS (SELECT FROM limit_job)",
    enqueues=("single", "batch", "copy"),
    settings=(
        Setting("claim 500, delete", "best", {"style": "plain", "batch": 500}, 200_000),
        Setting("one asyncio task per job", "extra", {"style": "task", "batch": 500}, 200_000),
        Setting("next claim in flight during the work", "extra", {"style": "overlap", "batch": 500}, 200_000),
    ),
)

PROCRASTINATE = Contender(
    name="procrastinate",
    language="Python",
    environment="python",
    package="procrastinate",
    program="benchmarks.peers.procrastinate_peer",
    unfinished="SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
    settings=(
        Setting("concurrency 30, delete_jobs=always", "best", {"concurrency": 30, "delete_jobs": "always"}, 4000),
        Setting(
            "concurrency 10, delete_jobs=never",
            "unbatched",
            {"concurrency": 10, "delete_jobs": "never"},
            4000,
            sleeps=True,
        ),
    ),
)

PGQUEUER = Contender(
    name="pgqueuer",
    language="Python",
    environment="python",
    package="pgqueuer",
    program="benchmarks.peers.pgqueuer_peer",
    unfinished="SELECT EXISTS (SELECT FROM pgqueuer)",
    settings=(
        Setting(
            "batch_size 500, pool", "best", {"batch_size": 500, "pool": True, "max_concurrent_tasks": None}, 60_000
        ),
        Setting(
            "batch_size 10 (its default), handlers limited to 10",
            "unbatched",
            {"batch_size": 10, "pool": True, "max_concurrent_tasks": None, "semaphore": 10},
            15_000,
            sleeps=True,
        ),
    ),
)

OBAN = Contender(
    name="oban",
    language="Python",
    environment="oban",
    package="oban",
    program="benchmarks.peers.oban_peer",
    unfinished="SELECT EXISTS (SELECT FROM oban_jobs WHERE state NOT IN ('completed', 'discarded', 'cancelled'))",
    settings=(
        Setting("limit 500", "best", {"limit": 500, "pool": 10}, 15_000),
        Setting("limit 10", "unbatched", {"limit": 10, "pool": 10}, 6000, sleeps=True),
    ),
)

GRAPHILE = Contender(
    name="graphile-worker",
    language="Node",
    environment="node",
    package="graphile-worker",
    program="graphile.mjs",
    unfinished="SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)",
    settings=(
        Setting(
            "concurrency 24, localQueue 500, completeJobBatchDelay 0",
            "best",
            {"concurrency": 24, "localQueue": 500, "completeJobBatchDelay": 0},
            200_000,
        ),
        Setting("concurrency 10, no localQueue", "unbatched", _GRAPHILE_PLAIN, 20_000, sleeps=True),
        Setting(
            "concurrency 10, localQueue 11, completeJobBatchDelay 0",
            "extra",
            {"concurrency": 10, "localQueue": 11, "completeJobBatchDelay": 0},
            30_000,
            sleeps=True,
        ),
    ),
)

PGBOSS = Contender(
    name="pg-boss",
    language="Node",
    environment="node",
    package="pg-boss",
    program="pgboss.mjs",
    unfinished="SELECT EXISTS (SELECT FROM pgboss.job WHERE name = 'bench' AND state < 'completed')",
    settings=(
        Setting(
            "batchSize 1000, localConcurrency 2, burst",
            "best",
            {"batchSize": 1000, "localConcurrency": 2, "burst": True},
            100_000,
        ),
        Setting(
            "batchSize 2, localConcurrency 5, burst",
            "unbatched",
            {"batchSize": 2, "localConcurrency": 5, "burst": True},
            10_000,
            sleeps=True,
        ),
    ),
)

WORKERPOOL = Contender(
    name="WorkerPool",
    language="Python",
    environment="project",
    package="workerpool",
    program="benchmarks.peers.workerpool_peer",
    unfinished="SELECT EXISTS (SELECT FROM workerpool.job) OR EXISTS (SELECT FROM workerpool.delayed)",
    enqueues=("single", "batch", "copy"),
    settings=(
        Setting("concurrency 10 (its default settings), history off", "best", {"history": False}, 200_000, sleeps=True),
        Setting(
            "concurrency 10 (its default settings), history on", "default", {"history": True}, 200_000, sleeps=True
        ),
    ),
)

CONTENDERS = (WORKERPOOL, LIMIT, PROCRASTINATE, PGQUEUER, OBAN, GRAPHILE, PGBOSS)
"""In the order in which each round visits them."""
