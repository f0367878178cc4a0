"""Who is measured on RabbitMQ, and at which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.model import Environment, Part

US = "WorkerPool"


@dataclass(frozen=True)
class Setting:
    """One way to run a contender's worker: `noop` and `archive` are the messages of a full run, 0 where it is left out.

    `killed`: whether its worker is also killed in the middle.
    """

    name: str
    part: Part
    options: Mapping[str, Any]
    noop: int
    archive: int
    killed: bool = True


@dataclass(frozen=True)
class Contender:
    """One framework or client library. `framework` is false for bare libraries, which are shown for scale."""

    name: str
    environment: Environment
    package: str
    program: str
    settings: tuple[Setting, ...]
    framework: bool = True


WORKERPOOL = Contender(
    US,
    "project",
    "workerpool",
    "benchmarks.rabbitmq.peers.workerpool_peer",
    (
        Setting("concurrency 10, archive 16 (its default settings)", "default", {}, 50_000, 1500),
        Setting("concurrency 100", "best", {"concurrency": 100}, 50_000, 1500, killed=False),
    ),
)

AIORMQ = Contender(
    "aiormq alone",
    "rabbitmq",
    "aiormq",
    "benchmarks.rabbitmq.peers.aiormq_peer",
    (
        Setting(
            "prefetch 1000, one acknowledgement for 100 messages",
            "best",
            {"prefetch": 1000, "batch": 100},
            50_000,
            1500,
        ),
    ),
    framework=False,
)

AIO_PIKA = Contender(
    "aio-pika alone",
    "rabbitmq",
    "aio-pika",
    "benchmarks.rabbitmq.peers.aio_pika_peer",
    (
        Setting("prefetch 200", "best", {"prefetch": 200}, 20_000, 1500),
        Setting("prefetch 1", "unbatched", {"prefetch": 1}, 4000, 800, killed=False),
    ),
    framework=False,
)

FASTSTREAM = Contender(
    "FastStream",
    "rabbitmq",
    "faststream",
    "benchmarks.rabbitmq.peers.faststream_peer",
    (Setting("prefetch 200, NACK_ON_ERROR", "best", {"prefetch": 200}, 10_000, 1500),),
)

TASKIQ = Contender(
    "TaskIQ",
    "rabbitmq",
    "taskiq-aio-pika",
    "benchmarks.rabbitmq.peers.taskiq_peer",
    (Setting("100 tasks + 100 prefetched, when_executed", "best", {"tasks": 100, "ahead": 100}, 10_000, 1500),),
)

DRAMATIQ = Contender(
    "Dramatiq",
    "rabbitmq",
    "dramatiq",
    "benchmarks.rabbitmq.peers.dramatiq_peer",
    (
        Setting(
            "1 process x 8 threads, prefetch 1000, classic queue",
            "best",
            {"threads": 8, "prefetch": 1000},
            20_000,
            1500,
        ),
    ),
)

CELERY = Contender(
    "Celery",
    "rabbitmq",
    "celery",
    "benchmarks.rabbitmq.peers.celery_peer",
    (
        Setting(
            "-P solo, acks_late, multiplier 100",
            "best",
            {"pool": "solo", "concurrency": 1, "multiplier": 100},
            8000,
            800,
        ),
        Setting(
            "-P threads -c 10, acks_late, multiplier 10",
            "extra",
            {"pool": "threads", "concurrency": 10, "multiplier": 10},
            6000,
            1500,
            killed=False,
        ),
    ),
)

CONTENDERS = (WORKERPOOL, AIORMQ, AIO_PIKA, FASTSTREAM, TASKIQ, DRAMATIQ, CELERY)
"""In the order in which each round visits them."""
